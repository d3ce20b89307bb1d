// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cmath>
#include <optional>

// What the glue of every op needs of LibTorch's dispatcher.
namespace lowrank {

using OptionalTensor = std::optional<at::Tensor>;

// A handle to call the op `name` ("lowrank::...") through the dispatcher.
template <class Signature>
c10::TypedOperatorHandle<Signature> find_op(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

// An undefined tensor is C++'s absent argument, nullopt the schema's.
inline OptionalTensor optional(const at::Tensor& x) {
  return x.defined() ? OptionalTensor(x) : std::nullopt;
}
inline at::Tensor undefined_or(const OptionalTensor& x) { return x.value_or(at::Tensor()); }

// s of q [..., d].
inline double scale_or_default(std::optional<double> scale, const at::Tensor& q) {
  return scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
}

// A meta kernel's result: contiguous, the sizes and options of `x`.
inline at::Tensor empty_as(const at::Tensor& x) {
  return at::empty_symint(x.sym_sizes(), x.options());
}

// Inside an op's autocast kernel: autocast is off, and cast() gives its arguments autocast's dtype.
class Autocast {
 public:
  explicit Autocast(const at::Tensor& x)
      : off_(c10::autocast_dispatch_keyset), device_(x.device().type()) {}
  at::Tensor cast(const at::Tensor& x) const {
    return at::autocast::cached_cast(at::autocast::get_autocast_dtype(device_), x, device_);
  }
  OptionalTensor cast(const OptionalTensor& x) const {
    return x && x->defined() ? OptionalTensor(cast(*x)) : std::nullopt;
  }

 private:
  c10::impl::ExcludeDispatchKeyGuard off_;
  c10::DeviceType device_;
};

}  // namespace lowrank
