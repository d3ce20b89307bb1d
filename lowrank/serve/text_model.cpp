// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/text_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lowrank/base/file.h"
#include "lowrank/models/derive.h"
#include "lowrank/models/model_directory.h"

namespace lowrank::serve {
namespace {

namespace fs = std::filesystem;

at::ScalarType dtype_of(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  if (name == "float64") return at::kDouble;
  throw Error(fmt::format(
      "dtype = \"{}\"; it must be float32, bfloat16, float16 or float64. Choose one of them.",
      name));
}

at::Device device_of(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  if (name != "cuda") {
    throw Error(fmt::format("device = \"{}\"; it must be cpu or cuda. Choose one of them.", name));
  }
  if (!at::hasCUDA()) throw Error("device = \"cuda\"; no GPU is visible. Use cpu.");
  return at::kCUDA;
}

}  // namespace

fs::path find_model(const fs::path& folder) {
  for (const fs::path& candidate : {folder / "best", folder / "last", folder}) {
    restore_directory(candidate);
    if (fs::exists(candidate / "config.json")) return candidate;
  }
  throw Error(fmt::format(
      "{}: there is no model in it: no config.json, neither there nor in best/ or last/. "
      "Give the folder of a run or of a model.",
      folder.string()));
}

TextModel load_text_model(const fs::path& folder, const std::string& device,
                          const std::string& dtype) {
  TextModel loaded;
  loaded.folder = find_model(folder);
  loaded.model = models::load_model(loaded.folder);
  loaded.tokenizer = text::make_tokenizer(loaded.model->config().tokenizer, loaded.folder);
  const int64_t known = loaded.model->config().embeddings.vocabulary;
  if (loaded.tokenizer->vocabulary() > known) {
    throw Error(
        fmt::format("{}: its tokenizer has {} tokens, the model {}. Use the tokenizer that the "
                    "model was trained with.",
                    loaded.folder.string(), loaded.tokenizer->vocabulary(), known));
  }
  if (!dtype.empty()) loaded.model->to(dtype_of(dtype));
  loaded.model->to(device_of(device));
  loaded.model->eval();
  loaded.max_length = models::longest_sequence(loaded.model->config());
  return loaded;
}

}  // namespace lowrank::serve
