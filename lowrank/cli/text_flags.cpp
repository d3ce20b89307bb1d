// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/text_flags.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>

#include "lowrank/cli/validators.h"
#include "lowrank/models/dtype.h"

namespace lowrank::cli {
namespace {

serve::TextFormat format_of(const TextFlags& flags) {
  if (flags.jsonl) return serve::TextFormat::kJsonLines;
  return flags.lines ? serve::TextFormat::kLines : serve::TextFormat::kWhole;
}

// Hands on the texts of one stream, unless they are an array's bytes.
serve::TakeText unless_array(const std::string& name, const serve::TakeText& take,
                             const serve::Complain& complain) {
  return [=, first = true, array = false](serve::TextInput input) mutable {
    array |= first && is_array(input.text);
    if (array && first) complain(not_a_text(name));
    first = false;
    if (!array) take(std::move(input));
  };
}

}  // namespace

void add(CLI::App& app, TextFlags& flags) {
  app.add_option("INPUT", flags.inputs, "files, or folders of files; none: standard input")
      ->type_name("");
  CLI::Option* lines =
      app.add_flag("--lines", flags.lines, "takes each line of the input as a text of its own");
  app.add_flag("--jsonl", flags.jsonl, "takes each line as a JSON object that holds a text")
      ->excludes(lines);
  app.add_option("--text-key", flags.text_key, "of --jsonl: the text's key")
      ->type_name("")
      ->capture_default_str();
  app.add_option("--pair-key", flags.pair_key, "of --jsonl: the second text's key")
      ->type_name("")
      ->capture_default_str();
}

void add(CLI::App& app, InferenceFlags& flags, const std::string& overflow_help) {
  app.add_option("--on-overflow", flags.on_overflow, overflow_help)
      ->check(one_of({"error", "truncate", "chunk", "interpolate"}))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--max-length", flags.max_length,
                 "tokens of a sequence, special ones included (default: what the model takes)")
      ->check(whole_number(1, int64_t{1} << 32))
      ->type_name("");
  app.add_option("--token-budget", flags.token_budget, "tokens of a batch; memory grows with it")
      ->check(whole_number(1, int64_t{1} << 32))
      ->type_name("")
      ->capture_default_str();
  add_device(app, flags.device, flags.dtype);
}

bool is_array(std::string_view beginning) { return beginning.starts_with("\x93NUMPY"); }

std::string not_a_text(const std::string& source) {
  return fmt::format(
      "{}: this is an array of NumPy's, and the model reads text. Only modules of other packages "
      "read arrays: \"lowrank info MODEL\" says what a model is.",
      source);
}

void add_device(CLI::App& app, std::string& device, std::string& dtype) {
  app.add_option("--device", device, "where the model runs")
      ->check(one_of({"cpu", "cuda"}))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--dtype", dtype, "of the weights (default: the file's)")
      ->check(one_of(models::dtype_names()))
      ->type_name("");
}

serve::TextModel load(const std::string& model, const InferenceFlags& flags) {
  return serve::load_text_model(model, flags.device, flags.dtype);
}

serve::PieceOptions piece_options(const InferenceFlags& flags, bool offers_chunks) {
  return {.on_overflow = serve::overflow_of(flags.on_overflow),
          .max_length = flags.max_length,
          .words = {.on_overflow = "--on-overflow",
                    .max_length = "--max-length",
                    .offers_chunks = offers_chunks}};
}

int64_t bytes_of(const std::vector<std::filesystem::path>& files) {
  int64_t bytes = 0;
  for (const std::filesystem::path& file : files) {
    std::error_code unknown;
    const uintmax_t size = std::filesystem::file_size(file, unknown);
    if (!unknown) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

TextSource::TextSource(const TextFlags& flags, const Console& console,
                       const serve::Complain& complain)
    : options_{.format = format_of(flags), .text_key = flags.text_key, .pair_key = flags.pair_key},
      console_(console),
      complain_(complain),
      standard_input_(flags.inputs.empty()),
      files_(serve::find_texts(flags.inputs, complain)),
      bytes_(bytes_of(files_)) {}

void TextSource::read(const serve::TakeText& take) const {
  if (standard_input_) {
    serve::read_texts(console_.in, "stdin", options_, unless_array("stdin", take, complain_),
                      complain_);
  }
  for (const std::filesystem::path& file : files_) {
    serve::read_texts(file, options_, unless_array(file.string(), take, complain_), complain_);
  }
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

}  // namespace lowrank::cli
