// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_import.h"

#include <fmt/format.h>

#include "lowrank/base/file.h"
#include "lowrank/io/load_tensors.h"
#include "lowrank/io/pytorch_file.h"
#include "lowrank/models/fairseq.h"
#include "lowrank/models/mlpen.h"

namespace lowrank::models {
namespace {

namespace fs = std::filesystem;

// mlpen's endings stand for nothing elsewhere.
io::LoadedTensors read(const fs::path& path) {
  if (path.extension() != ".model" && path.extension() != ".cp") return io::load_tensors(path);
  io::StateDict dict = io::PytorchFile(path).state_dict();
  return {.tensors = std::move(dict.tensors),
          .path = path,
          .root = std::move(dict.root),
          .left_out = std::move(dict.left_out)};
}

template <class T>
void fill(std::optional<T>& hint, const std::optional<T>& from_file) {
  if (!hint) hint = from_file;
}

// What mlpen's config.json beside the checkpoint adds.
ForeignHints with_config(ForeignHints hints, const fs::path& checkpoint) {
  const fs::path path = checkpoint.parent_path() / "config.json";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return hints;
  const ForeignHints told =
      read_mlpen_config(parse_json(read_file(path), path.string()), path.string());
  fill(hints.heads, told.heads);
  fill(hints.layers, told.layers);
  fill(hints.landmarks, told.landmarks);
  fill(hints.segment_length, told.segment_length);
  fill(hints.attention, told.attention);
  hints.per_matrix_start = hints.per_matrix_start || told.per_matrix_start;
  return hints;
}

void check_not_fixed(ForeignFormat format, bool fixed, const std::string& where) {
  if (!fixed) return;
  throw Error(
      fmt::format("{}: a module of {} has no function but its own; there is none without its "
                  "quirks. Leave --fixed away.",
                  where, in_words(format)));
}

}  // namespace

std::optional<ImportedCheckpoint> import_checkpoint(const fs::path& path, const ForeignHints& hints,
                                                    bool fixed) {
  io::LoadedTensors loaded = read(path);
  const std::string where = loaded.path.string();
  const io::NamedTensors tensors = without_wrappers(std::move(loaded.tensors));
  const std::optional<ForeignFormat> format = recognize(tensors);
  if (!format) return std::nullopt;

  ImportedCheckpoint imported{.format = *format, .content = {}, .notes = {}};
  for (const std::string& other : loaded.left_out) {
    imported.notes.push_back(fmt::format("The file's {} is not used.", other));
  }
  if (*format != ForeignFormat::kMlpen && *format != ForeignFormat::kFairseq) {
    check_not_fixed(*format, fixed, where);
    imported.content = import_foreign(tensors, *format, hints, where);
    return imported;
  }
  NativeCheckpoint encoder =
      *format == ForeignFormat::kMlpen
          ? import_mlpen(tensors, with_config(hints, loaded.path), fixed, where)
          : import_fairseq(tensors, hints, fixed, where);
  imported.notes.insert(imported.notes.end(), encoder.notes.begin(), encoder.notes.end());
  imported.content = std::move(encoder);
  return imported;
}

}  // namespace lowrank::models
