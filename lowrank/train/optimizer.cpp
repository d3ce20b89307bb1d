// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/optimizer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace lowrank::train {
namespace {

bool starts_with_any(const std::string& name, std::initializer_list<const char*> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const char* prefix) { return name.starts_with(prefix); });
}

}  // namespace

std::vector<ParameterGroup> parameter_groups(const models::Model& model,
                                             const TrainOptions& options) {
  const double token_rate =
      options.embedding_learning_rate > 0 ? options.embedding_learning_rate : options.learning_rate;
  ParameterGroup matrices{{}, options.learning_rate, options.weight_decay};
  ParameterGroup others{{}, options.learning_rate, 0};
  ParameterGroup token_tables{{}, token_rate, 0};
  for (const auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    const bool tokens = starts_with_any(name, {"embeddings.tokens", "embeddings.ngrams"});
    const bool places = starts_with_any(name, {"embeddings.positions", "embeddings.segments"});
    const bool matrix = item.value().dim() >= 2 && !places;
    ParameterGroup& group = tokens ? token_tables : matrix ? matrices : others;
    group.parameters.emplace_back(name, item.value());
  }
  std::vector<ParameterGroup> groups;
  for (ParameterGroup& group : std::array{matrices, others, token_tables}) {
    if (!group.parameters.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

AdamW::AdamW(const std::vector<ParameterGroup>& groups, std::array<double, 2> betas, double epsilon)
    : betas_(betas), epsilon_(epsilon) {
  for (const ParameterGroup& group : groups) {
    Group& own = groups_.emplace_back(Group{{}, group.learning_rate, group.weight_decay});
    for (const auto& [name, parameter] : group.parameters) {
      const at::Tensor values = parameter.detach();
      own.slots.push_back({name, parameter, at::zeros_like(values), at::zeros_like(values),
                           at::zeros({}, values.options().dtype(at::kFloat))});
    }
  }
}

AdamW::AdamW(const models::Model& model, const TrainOptions& options)
    : AdamW(parameter_groups(model, options), options.betas, options.epsilon) {}

void AdamW::zero_grad() {
  for (Group& group : groups_) {
    for (Slot& slot : group.slots) slot.parameter.mutable_grad() = at::Tensor();
  }
}

std::vector<at::Tensor> AdamW::gradients() const {
  std::vector<at::Tensor> gradients;
  for (const Group& group : groups_) {
    for (const Slot& slot : group.slots) {
      if (slot.parameter.grad().defined()) gradients.push_back(slot.parameter.grad());
    }
  }
  return gradients;
}

double AdamW::clip(double most) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> all = gradients();
  if (all.empty()) return 0;
  const double norm = at::stack(at::_foreach_norm(all)).norm().item<double>();
  if (most > 0 && norm > most) at::_foreach_mul_(all, most / norm);
  return norm;
}

void AdamW::step(double rate_share) {
  const at::NoGradGuard no_grad;
  for (Group& group : groups_) {
    std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, steps;
    for (const Slot& slot : group.slots) {
      if (!slot.parameter.grad().defined()) continue;
      parameters.push_back(slot.parameter);
      gradients.push_back(slot.parameter.grad());
      exp_avgs.push_back(slot.exp_avg);
      exp_avg_sqs.push_back(slot.exp_avg_sq);
      steps.push_back(slot.step);
    }
    if (parameters.empty()) continue;
    at::_foreach_add_(steps, 1);
    at::_fused_adamw_(parameters, gradients, exp_avgs, exp_avg_sqs, {}, steps,
                      group.learning_rate * rate_share, betas_[0], betas_[1], group.weight_decay,
                      epsilon_, /*amsgrad=*/false, /*maximize=*/false);
    // Which the fused step does not: whoever keeps what he made of a parameter must see the change.
    for (const at::Tensor& parameter : parameters) parameter.unsafeGetTensorImpl()->bump_version();
  }
}

io::NamedTensors AdamW::state() const {
  io::NamedTensors state;
  for (const Group& group : groups_) {
    for (const Slot& slot : group.slots) {
      state.emplace_back("exp_avg." + slot.name, slot.exp_avg);
      state.emplace_back("exp_avg_sq." + slot.name, slot.exp_avg_sq);
      state.emplace_back("step." + slot.name, slot.step);
    }
  }
  return state;
}

void AdamW::load_state(const io::NamedTensors& state, const std::string& where) {
  const std::map<std::string, at::Tensor> found(state.begin(), state.end());
  for (auto& [name, tensor] : this->state()) {
    const auto saved = found.find(name);
    if (saved == found.end() || saved->second.sizes() != tensor.sizes()) {
      throw Error(
          fmt::format("{}: tensor \"{}\" is {}; the model needs it. The file belongs to "
                      "another model.",
                      where, name, saved == found.end() ? "missing" : "of another size"));
    }
    tensor.copy_(saved->second);
  }
}

}  // namespace lowrank::train
