// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/derivative.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "lowrank/ops/tasks.h"

namespace lowrank {
namespace {

using at::Tensor;

// What autograd keeps from a forward to its backward besides tensors.
struct Kept : torch::CustomClassHolder {
  explicit Kept(const Derivative& derivative) : backward(derivative.backward) {}
  decltype(Derivative::backward) backward;
};

class DifferentiableOp : public torch::autograd::Function<DifferentiableOp> {
 public:
  static Tensors forward(torch::autograd::AutogradContext* context, const Derivative& derivative,
                         at::TensorList inputs) {
    Tensors saved = inputs.vec();
    Tensors outputs;
    {
      const at::AutoDispatchBelowADInplaceOrView below_autograd;
      outputs = derivative.forward(saved);
    }
    for (const size_t i : derivative.saved_outputs) saved.push_back(outputs[i]);
    context->save_for_backward(std::move(saved));
    context->saved_data["kept"] = at::IValue::make_capsule(c10::make_intrusive<Kept>(derivative));
    return outputs;
  }

  static Tensors backward(torch::autograd::AutogradContext* context, Tensors output_gradients) {
    const auto capsule = context->saved_data["kept"].toCapsule();
    const auto& kept = static_cast<const Kept&>(*capsule);
    Tensors input_gradients = kept.backward(output_gradients, context->get_saved_variables());
    input_gradients.insert(input_gradients.begin(), Tensor());  // for the argument `derivative`
    return input_gradients;
  }
};

// Lets autograd record inside a kernel, which runs below it.
class RecordAgain {
 public:
  RecordAgain() : keys_(included(), excluded()), grad_mode_(true) {}

 private:
  static c10::DispatchKeySet included() {
    return c10::impl::tls_local_dispatch_key_set().included_;
  }
  static c10::DispatchKeySet excluded() {
    return c10::impl::tls_local_dispatch_key_set().excluded_ -
           c10::autograd_dispatch_keyset_with_ADInplaceOrView;
  }
  c10::impl::ForceDispatchKeyGuard keys_;
  at::AutoGradMode grad_mode_;
};

// A leaf of a new graph, in the compute dtype.
Tensor leaf(const Tensor& x) { return x.detach().to(compute_dtype(x)).requires_grad_(true); }

Tensors leaves(const Tensors& inputs) {
  Tensors result;
  for (const Tensor& x : inputs) result.push_back(leaf(x));
  return result;
}

// The gradients with respect to `inputs`; zeros for those that the outputs do not depend on.
Tensors autograd_gradients(const Tensors& outputs, const Tensors& inputs,
                           const Tensors& output_gradients, bool differentiable_again) {
  Tensors found = torch::autograd::grad(outputs, inputs, output_gradients,
                                        /*retain_graph=*/differentiable_again, differentiable_again,
                                        /*allow_unused=*/true);
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i].defined()) found[i] = at::zeros_like(inputs[i]);
  }
  return found;
}

Tensors round_to(Tensors values, const Tensors& like) {
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = values[i].detach().to(like[i].scalar_type());
  }
  return values;
}

}  // namespace

Tensors differentiable(const Tensors& inputs, const Derivative& derivative) {
  return DifferentiableOp::apply(derivative, at::TensorList(inputs));
}

Tensors gradients(const Formula& formula, const Tensors& inputs, const Tensor& gradient) {
  const RecordAgain recording;
  const Tensors x = leaves(inputs);
  const Tensor output = formula(x);
  return round_to(autograd_gradients({output}, x, {gradient.to(output.scalar_type())}, false),
                  inputs);
}

Tensors differentiable_gradients(const Tensor& gradient, const Tensors& inputs,
                                 const std::function<Tensors(const Tensors&)>& backward,
                                 const Formula& formula) {
  Tensors all = {gradient};
  all.insert(all.end(), inputs.begin(), inputs.end());
  const auto second = [formula](const Tensors& directions, const Tensors& saved) {
    const RecordAgain recording;
    const Tensors x = leaves(saved);
    const Tensors arguments(x.begin() + 1, x.end());
    const Tensor output = formula(arguments);
    const Tensors first =
        autograd_gradients({output}, arguments, {x[0].to(output.scalar_type())}, true);
    Tensors outputs, output_gradients;
    for (size_t i = 0; i < first.size(); ++i) {
      if (!first[i].requires_grad()) continue;
      outputs.push_back(first[i]);
      output_gradients.push_back(directions[i].to(first[i].scalar_type()));
    }
    return round_to(autograd_gradients(outputs, x, output_gradients, false), saved);
  };
  return differentiable(all, {.forward = backward, .backward = second});
}

}  // namespace lowrank
