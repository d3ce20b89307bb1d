// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/convert_source.h"

#include <fmt/format.h>

#include "lowrank/base/file.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/models/derive.h"
#include "lowrank/models/foreign_import.h"
#include "lowrank/models/hugging_face.h"
#include "lowrank/models/model_directory.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;

models::ForeignHints hints_of(const ConvertFlags& flags) {
  models::ForeignHints hints;
  hints.heads = flags.heads;
  hints.layers = flags.shared_layers;
  hints.landmarks = flags.landmarks;
  hints.segment_length = flags.segment_length;
  hints.max_length = flags.max_length;
  hints.inverse_steps = flags.inverse_steps;
  if (!flags.source_attention.empty()) hints.attention = flags.source_attention;
  if (!flags.head.empty()) hints.head = flags.head;
  hints.activation = flags.activation;
  hints.causal = flags.causal;
  hints.full_attention = flags.full_attention;
  hints.per_matrix_start = flags.per_matrix_start;
  return hints;
}

ConvertSource open_ours(const fs::path& folder, const Json& config, bool fixed) {
  ConvertSource source{.model = {}, .folder = folder, .what = "lowrank", .notes = {}};
  if (models::is_foreign(config)) {
    if (fixed)
      throw Misuse("lowrank convert: --fixed is for encoders; this module has one function.");
    source.model = models::load_foreign(folder);
    return source;
  }
  const std::shared_ptr<models::Model> model = models::load_model(folder);
  source.model = fixed ? models::without_profile(*model) : model;
  return source;
}

ConvertSource open_hugging_face(const fs::path& folder, bool fixed) {
  models::HuggingFaceModel loaded = models::load_hugging_face(folder, fixed);
  return {.model = loaded.model,
          .folder = folder,
          .what = loaded.type + " of transformers",
          .notes = std::move(loaded.notes)};
}

}  // namespace

ConvertSource open_source(const ConvertFlags& flags) {
  fs::path folder = flags.model;
  if (fs::is_directory(folder)) {
    folder = models::search_model(folder).value_or(folder);
    if (const fs::path path = folder / "config.json"; fs::exists(path)) {
      const Json config = parse_json(read_file(path), path.string());
      if (models::is_hugging_face(config)) return open_hugging_face(folder, flags.fixed);
      if (config.is_object() && config.contains("format")) {
        return open_ours(folder, config, flags.fixed);
      }
    }
  } else if (!fs::exists(folder)) {
    throw Error(fmt::format("{}: there is no such file or folder. Check the path.", flags.model));
  }
  std::optional<models::ImportedCheckpoint> imported =
      models::import_checkpoint(folder, hints_of(flags), flags.fixed);
  if (!imported) {
    throw Error(fmt::format(
        "{}: its tensors are of no package that is known: transformers, nystrom-attention, "
        "linformer, linformer-pytorch, fairseq's Linformer, mlpen's Nystromformer, TransMIL. "
        "Check that the file is a checkpoint of one of them.",
        flags.model));
  }
  ConvertSource source{.model = {},
                       .folder = fs::is_directory(folder) ? folder : folder.parent_path(),
                       .what = models::in_words(imported->format),
                       .notes = std::move(imported->notes)};
  if (auto* foreign = std::get_if<models::ForeignModel>(&imported->content)) {
    source.model = std::move(*foreign);
  } else {
    source.model =
        models::to_model(std::get<models::NativeCheckpoint>(imported->content), flags.model);
  }
  return source;
}

}  // namespace lowrank::cli
