// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lowrank/io/pickle.h"
#include "lowrank/io/safetensors.h"

namespace lowrank::io {

struct StateDict {
  NamedTensors tensors;  // names of nested dicts and lists joined by dots, in the file's order
  std::string root;  // the key of the dict that was taken, such as "model"; empty: the whole file
  std::vector<std::string>
      left_out;  // the rest of the file: "epoch: int 3", "args: argparse.Namespace"
};

// A file that torch.save wrote: pytorch_model.bin, .pt, .pth, .ckpt; zip archives, and the format before
// PyTorch 1.6. Its pickle is read and never run: it may ask for tensors, plain values and containers,
// and for objects of a few libraries that checkpoints hold beside tensors (argparse, omegaconf, NumPy,
// fairseq, transformers, ...), which stay descriptions. Throws lowrank::Error naming the file and the
// rule; for any other global, such as os.system, it names that.
class PytorchFile {
 public:
  explicit PytorchFile(const std::filesystem::path& path);
  // A file's bytes that are in memory and stay there; `where` names them in messages.
  PytorchFile(std::span<const std::byte> file, const std::string& where);
  ~PytorchFile();
  PytorchFile(PytorchFile&&) noexcept;

  // All that the file holds, as values; tensors are calls of torch._utils._rebuild_tensor_v2.
  const PickleValue& content() const;

  // The tensors of one dict: that of the first key among "state_dict", "model_state_dict", "model" and
  // "module" whose value is a dict with tensors in it, or else the whole file. Only these tensors are
  // read. They are on the CPU, own their memory, and share it with each other, with any strides, as they
  // did when they were saved. Throws lowrank::Error where there is none, where two have one name,
  // and for quantized, sparse and conjugated ones.
  StateDict state_dict() const;

  // The same of the dict under `root`, a key or keys joined by dots; an empty one: of the whole file.
  StateDict state_dict(const std::string& root) const;

 private:
  class Content;
  std::unique_ptr<Content> content_;
};

}  // namespace lowrank::io
