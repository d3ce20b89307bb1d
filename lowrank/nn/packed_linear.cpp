// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/packed_linear.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include <string_view>

#include "lowrank/base/cpu_level.h"
#include "lowrank/ops/dispatcher.h"

namespace lowrank::nn {
namespace {

using at::Tensor;

// What LibTorch offers its own compiler; it is not in a build without oneDNN.
using Pack = Tensor(const Tensor& weight, std::optional<c10::SymInt> rows);
using Multiply = Tensor(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                        std::string_view activation,
                        c10::List<std::optional<at::Scalar>> activation_scalars,
                        std::optional<std::string_view> algorithm);
constexpr const char* kPack = "mkldnn::_reorder_linear_weight";
constexpr const char* kMultiply = "mkldnn::_linear_pointwise";

// The rows that oneDNN chooses its order for: always the same, so that the bits of a result do not
// depend on what was computed first.
constexpr int64_t kTypicalRows = 1024;

bool has_onednn() {
  static const bool found = at::globalContext().userEnabledMkldnn() &&
                            c10::Dispatcher::singleton().findSchema({kMultiply, ""}) &&
                            c10::Dispatcher::singleton().findSchema({kPack, ""});
  return found;
}

bool multiplies(at::ScalarType dtype) { return dtype == at::kFloat || dtype == at::kBFloat16; }

// What oneDNN multiplies for a result in `dtype`. A processor without instructions for bfloat16 takes
// six times as long for it as for float32.
at::ScalarType product_dtype(at::ScalarType dtype) {
  return cpu_level() >= CpuLevel::kAvx512Bf16 ? dtype : at::kFloat;
}

bool autocasts() { return at::autocast::is_autocast_enabled(at::kCPU); }

at::ScalarType dtype_for(const Tensor& x) {
  return autocasts() ? at::autocast::get_autocast_dtype(at::kCPU) : x.scalar_type();
}

// An activation as oneDNN's operator names it.
struct Fused {
  const char* activation;
  const char* algorithm;
};

Fused fused_name(Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return {"gelu", "none"};
    case Activation::kGeluTanh:
      return {"gelu", "tanh"};
    case Activation::kRelu:
      return {"relu", "none"};
    case Activation::kTanh:
      return {"tanh", "none"};
    case Activation::kNone:
      break;
  }
  return {"none", "none"};
}

int64_t version_of(const Tensor& x) { return x.is_inference() ? 0 : x._version(); }

// Weights and biases of all layers, biases undefined where there are none.
std::vector<Tensor> parameters_of(const std::vector<torch::nn::Linear>& layers) {
  std::vector<Tensor> parameters;
  for (const auto& layer : layers) {
    parameters.push_back(layer->weight);
    parameters.push_back(layer->bias);
  }
  return parameters;
}

}  // namespace

bool PackedLinear::fits(const Tensor& x) const {
  const Tensor& weight = layers_.front()->weight;
  if (at::GradMode::is_enabled() || !x.is_cpu() || !weight.is_cpu() || x.size(0) == 0) return false;
  if (!autocasts() && x.scalar_type() != weight.scalar_type()) return false;
  return multiplies(dtype_for(x)) && has_onednn();
}

bool PackedLinear::is_current(const std::vector<Tensor>& parameters, at::ScalarType dtype) const {
  if (!packed_.weight.defined() || packed_.weight.scalar_type() != dtype) return false;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor &now = parameters[i], &then = packed_.parameters[i];
    if (now.defined() != then.defined()) return false;
    if (!now.defined()) continue;
    // The tensor of then is kept, so that its address is nobody else's.
    if (now.const_data_ptr() != then.const_data_ptr()) return false;
    if (version_of(now) != packed_.versions[i]) return false;
  }
  return true;
}

PackedLinear::Packed PackedLinear::pack(std::vector<Tensor> parameters,
                                        at::ScalarType dtype) const {
  Packed packed;
  std::vector<Tensor> weights, biases;
  for (size_t i = 0; i < parameters.size(); i += 2) {
    const Tensor &weight = parameters[i], &bias = parameters[i + 1];
    weights.push_back(weight.to(dtype));
    biases.push_back(bias.defined() ? bias.to(dtype) : at::zeros(weight.size(0), dtype));
  }
  for (Tensor& parameter : parameters) {
    packed.versions.push_back(parameter.defined() ? version_of(parameter) : 0);
    packed.parameters.push_back(parameter.defined() ? parameter.detach() : parameter);
  }
  static const auto reorder = find_op<Pack>(kPack);
  packed.weight = reorder.call(at::cat(weights), c10::SymInt(kTypicalRows));
  packed.bias = at::cat(biases);
  return packed;
}

void PackedLinear::forget() {
  const std::lock_guard lock(mutex_);
  packed_ = {};
}

Tensor PackedLinear::operator()(const Tensor& x, Activation activation) const {
  const at::ScalarType result_dtype = dtype_for(x), dtype = product_dtype(result_dtype);
  Tensor weight, bias;
  {
    const std::lock_guard lock(mutex_);
    const std::vector<Tensor> parameters = parameters_of(layers_);
    if (!is_current(parameters, dtype)) packed_ = pack(parameters, dtype);
    weight = packed_.weight;
    bias = packed_.bias;
  }
  const Fused fused = fused_name(activation);
  static const auto multiply = find_op<Multiply>(kMultiply);
  const c10::List<std::optional<at::Scalar>> no_scalars;
  return multiply
      .call(x.to(dtype).contiguous(), weight, bias, fused.activation, no_scalars, fused.algorithm)
      .to(result_dtype);
}

}  // namespace lowrank::nn
