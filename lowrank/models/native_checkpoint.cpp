// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/native_checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lowrank/models/model_directory.h"

namespace lowrank::models {

std::shared_ptr<Model> to_model(const NativeCheckpoint& checkpoint, const std::string& where) {
  ModelConfig config;
  read_config(checkpoint.model, where, [&](ConfigFields& fields) { describe(fields, config); });
  check(config, where);
  const auto model = std::make_shared<Model>(config);
  set_parameters(*model, checkpoint.tensors, where);
  return model;
}

Renaming::Renaming(const io::NamedTensors& tensors, std::string where)
    : tensors_(tensors.begin(), tensors.end()), where_(std::move(where)) {}

bool Renaming::has_any(const std::string& prefix) const {
  const auto found = tensors_.lower_bound(prefix);
  return found != tensors_.end() && found->first.starts_with(prefix);
}

const at::Tensor* Renaming::find(const std::string& theirs) {
  const auto found = tensors_.find(theirs);
  if (found != tensors_.end()) return &found->second;
  const std::string line = fmt::format("\"{}\" is missing", theirs);
  if (std::find(lines_.begin(), lines_.end(), line) == lines_.end()) lines_.push_back(line);
  return nullptr;
}

int64_t Renaming::size(const std::string& theirs, int64_t dimension) {
  const at::Tensor* tensor = find(theirs);
  if (!tensor) return 0;
  if (tensor->dim() > dimension) return tensor->size(dimension);
  lines_.push_back(fmt::format("\"{}\" has {} dimensions", theirs, tensor->dim()));
  return 0;
}

bool Renaming::same(const std::string& theirs, const std::string& other) const {
  const auto a = tensors_.find(theirs), b = tensors_.find(other);
  return a != tensors_.end() && b != tensors_.end() && is_same(a->second, b->second);
}

void Renaming::take(const std::string& theirs, const std::string& ours) {
  if (const at::Tensor* tensor = find(theirs)) renamed_.emplace_back(ours, *tensor);
  ignore(theirs);
}

void Renaming::take_both(const std::string& theirs, const std::string& ours) {
  for (const char* end : {".weight", ".bias"}) take(theirs + end, ours + end);
}

void Renaming::take_filter(const std::string& theirs, const std::string& ours) {
  const at::Tensor* tensor = find(theirs);
  ignore(theirs);
  if (!tensor) return;
  if (tensor->dim() == 4 && tensor->size(1) == 1 && tensor->size(3) == 1) {
    renamed_.emplace_back(ours, tensor->flatten(1));
    return;
  }
  lines_.push_back(fmt::format("\"{}\" is [{}] instead of [heads, 1, taps, 1]", theirs,
                               fmt::join(tensor->sizes().vec(), ", ")));
}

void Renaming::ignore(const std::string& theirs) { used_.insert(theirs); }

void Renaming::leave_out(const std::string& prefix, const std::string& why) {
  bool any = false;
  for (const auto& [name, tensor] : tensors_) {
    if (name.starts_with(prefix)) any = used_.insert(name).second || any;
  }
  if (any) notes_.push_back(fmt::format("\"{}*\" is left out: {}.", prefix, why));
}

void Renaming::finish(NativeCheckpoint& checkpoint, const std::string& remedy) const {
  std::vector<std::string> lines = lines_;
  for (const auto& [name, tensor] : tensors_) {
    if (used_.count(name) == 0) lines.push_back(fmt::format("\"{}\" is extra", name));
  }
  if (!lines.empty()) {
    throw Error(fmt::format("{}: {} of its tensors do not fit: {}. {}", where_, lines.size(),
                            fmt::join(lines, "; "), remedy));
  }
  checkpoint.tensors.insert(checkpoint.tensors.end(), renamed_.begin(), renamed_.end());
  checkpoint.notes.insert(checkpoint.notes.end(), notes_.begin(), notes_.end());
}

bool is_same(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && at::equal(a, b);
}

Json numbered_classes(int64_t count) {
  Json names = Json::array();
  for (int64_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
  return names;
}

}  // namespace lowrank::models
