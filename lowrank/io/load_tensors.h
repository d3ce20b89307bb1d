// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lowrank/io/safetensors.h"

namespace lowrank::io {

struct LoadedTensors {
  NamedTensors tensors;
  std::filesystem::path path;         // the file or index that was read
  std::string root;                   // of a PyTorch file: the key of the dict that was taken
  std::vector<std::string> left_out;  // of a PyTorch file: what else it holds
};

// Reads the tensors of a file or of a model's folder. In a folder the first of these is taken:
//
//   model.safetensors   model.safetensors.index.json   pytorch_model.bin   pytorch_model.bin.index.json
//
// A file is read by what its name ends in: .safetensors, .index.json; and .bin, .pt, .pth, .ckpt
// as files of torch.save (pytorch_file.h). Throws lowrank::Error, where nothing is found with the list of
// what was looked for.
LoadedTensors load_tensors(const std::filesystem::path& path);

}  // namespace lowrank::io
