// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/load_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string_view>
#include <utility>

#include "lowrank/base/error.h"
#include "lowrank/io/pytorch_file.h"
#include "lowrank/io/shards.h"

namespace lowrank::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndex = ".index.json";
constexpr std::array<std::string_view, 4> kInFolder = {
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json"};
constexpr std::array<std::string_view, 4> kTorchEndings = {".bin", ".pt", ".pth", ".ckpt"};

bool is_torch(std::string_view name) {
  for (const std::string_view ending : kTorchEndings) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

fs::path in_folder(const fs::path& folder) {
  for (const std::string_view name : kInFolder) {
    std::error_code ignored;
    if (fs::exists(folder / name, ignored)) return folder / name;
  }
  throw Error(fmt::format("{}: this folder holds none of {}. Name a model's folder, or a file.",
                          folder.string(), fmt::join(kInFolder, ", ")));
}

// One file, by what its name ends in. False where the name says nothing.
bool load_file(const fs::path& path, LoadedTensors& loaded) {
  const std::string name = path.filename().string();
  if (name.ends_with(".safetensors")) {
    loaded.tensors = load_safetensors(path);
  } else if (is_torch(name)) {
    StateDict dict = PytorchFile(path).state_dict();
    loaded.tensors = std::move(dict.tensors);
    loaded.root = std::move(dict.root);
    loaded.left_out.insert(loaded.left_out.end(), dict.left_out.begin(), dict.left_out.end());
  } else {
    return false;
  }
  return true;
}

[[noreturn]] void fail_unknown(const fs::path& path) {
  throw Error(fmt::format(
      "{}: its name does not say what it is; it must end in .safetensors, {} or {}. Rename it.",
      path.string(), kIndex, fmt::join(kTorchEndings, ", ")));
}

}  // namespace

LoadedTensors load_tensors(const fs::path& path) {
  std::error_code ignored;
  LoadedTensors loaded;
  loaded.path = fs::is_directory(path, ignored) ? in_folder(path) : path;
  if (loaded.path.filename().string().ends_with(kIndex)) {
    loaded.tensors = load_shards(load_shard_index(loaded.path), [&](const fs::path& shard) {
      loaded.tensors.clear();
      if (!load_file(shard, loaded)) fail_unknown(shard);
      return std::move(loaded.tensors);
    });
  } else if (!load_file(loaded.path, loaded)) {
    fail_unknown(loaded.path);
  }
  return loaded;
}

}  // namespace lowrank::io
