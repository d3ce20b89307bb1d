// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/io/safetensors.h"
#include "lowrank/models/model.h"

namespace lowrank::models {

// Another program's checkpoint of an encoder, as this library has it: the table "model" of config.json
// (ModelConfig), the parameters by Model's names, and a sentence for each thing that is left out.
struct NativeCheckpoint {
  Json model = Json::object();
  io::NamedTensors tensors;
  std::vector<std::string> notes;
};

// The model, with the checkpoint's numbers, in evaluation mode. Throws Error for a configuration that is
// not allowed and for every tensor of another shape; `where` names the file.
std::shared_ptr<Model> to_model(const NativeCheckpoint& checkpoint, const std::string& where);

// Gives a checkpoint's tensors our names, one by one, and knows which of them nobody took.
class Renaming {
 public:
  Renaming(const io::NamedTensors& tensors, std::string where);

  bool has(const std::string& theirs) const { return tensors_.count(theirs) > 0; }
  bool has_any(const std::string& prefix) const;
  // The same bits; false where either is missing.
  bool same(const std::string& theirs, const std::string& other) const;
  // 0, and a line of the error, where there is no such tensor or dimension.
  int64_t size(const std::string& theirs, int64_t dimension);

  // A tensor may be taken under several names of ours. take_both: its ".weight" and ".bias".
  void take(const std::string& theirs, const std::string& ours);
  void take_both(const std::string& theirs, const std::string& ours);
  // A filter of a depthwise convolution, [h, 1, taps, 1] to [h, taps].
  void take_filter(const std::string& theirs, const std::string& ours);
  // What holds nothing of its own.
  void ignore(const std::string& theirs);
  // All that begin with the prefix, with a note that says why, if there are any.
  void leave_out(const std::string& prefix, const std::string& why);

  // Adds tensors and notes to `checkpoint`. Throws Error that lists what was missing and what nobody
  // took.
  void finish(NativeCheckpoint& checkpoint, const std::string& remedy) const;

 private:
  const at::Tensor* find(const std::string& theirs);

  std::map<std::string, at::Tensor> tensors_;
  std::set<std::string> used_;
  std::string where_;
  io::NamedTensors renamed_;
  std::vector<std::string> lines_, notes_;
};

// One dtype, the same sizes and the same numbers.
bool is_same(const at::Tensor& a, const at::Tensor& b);

// ["0", "1", ...]: a checkpoint without names of its classes.
Json numbered_classes(int64_t count);

}  // namespace lowrank::models
