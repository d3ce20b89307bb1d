// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/text_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lowrank/models/derive.h"
#include "lowrank/models/dtype.h"
#include "lowrank/models/foreign.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/serve/array_model.h"

namespace lowrank::serve {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_module(const fs::path& folder) {
  const ArrayModel module = load_array_model(folder);
  throw Error(fmt::format(
      "{}: this is a module of \"{}\"; it reads arrays {}, not text. Use \"lowrank {}\" with it.",
      folder.string(), module.package, shape_in_words(module.signature),
      command_for(module.signature)));
}

}  // namespace

at::Device device_of(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  if (name != "cuda") {
    throw Error(fmt::format("device = \"{}\"; it must be cpu or cuda. Choose one of them.", name));
  }
  if (!at::hasCUDA()) throw Error("device = \"cuda\"; no GPU is visible. Use cpu.");
  return at::kCUDA;
}

TextModel load_text_model(const fs::path& folder, const std::string& device,
                          const std::string& dtype) {
  TextModel loaded;
  loaded.folder = models::find_model(folder);
  if (models::is_foreign_folder(loaded.folder)) refuse_module(loaded.folder);
  loaded.model = models::load_model(loaded.folder);
  loaded.tokenizer = text::make_tokenizer(loaded.model->config().tokenizer, loaded.folder);
  const int64_t known = loaded.model->config().embeddings.vocabulary;
  if (loaded.tokenizer->vocabulary() > known) {
    throw Error(
        fmt::format("{}: its tokenizer has {} tokens, the model {}. Use the tokenizer that the "
                    "model was trained with.",
                    loaded.folder.string(), loaded.tokenizer->vocabulary(), known));
  }
  if (!dtype.empty()) loaded.model->to(models::dtype_of(dtype));
  loaded.model->to(device_of(device));
  loaded.model->eval();
  loaded.max_length = models::longest_sequence(loaded.model->config());
  return loaded;
}

}  // namespace lowrank::serve
