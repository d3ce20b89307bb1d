// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/text_flags.h"

#include <sys/resource.h>

#include <CLI/CLI.hpp>

#include "lowrank/cli/validators.h"

namespace lowrank::cli {
namespace {

serve::TextFormat format_of(const TextFlags& flags) {
  if (flags.jsonl) return serve::TextFormat::kJsonLines;
  return flags.lines ? serve::TextFormat::kLines : serve::TextFormat::kWhole;
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
  app.add_option("--device", flags.device, "where the model runs")
      ->check(one_of({"cpu", "cuda"}))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--dtype", flags.dtype, "of the weights (default: the file's)")
      ->check(one_of({"float32", "bfloat16", "float16", "float64"}))
      ->type_name("");
}

serve::TextModel load(const std::string& model, const InferenceFlags& flags) {
  return serve::load_text_model(model, flags.device, flags.dtype);
}

serve::PieceOptions piece_options(const InferenceFlags& flags) {
  return {.on_overflow = serve::overflow_of(flags.on_overflow), .max_length = flags.max_length};
}

TextSource::TextSource(const TextFlags& flags, const Console& console,
                       const serve::Complain& complain)
    : options_{.format = format_of(flags), .text_key = flags.text_key, .pair_key = flags.pair_key},
      console_(console),
      complain_(complain),
      standard_input_(flags.inputs.empty()),
      files_(serve::find_texts(flags.inputs, complain)) {
  for (const std::filesystem::path& file : files_) {
    std::error_code unknown;
    const uintmax_t size = std::filesystem::file_size(file, unknown);
    if (!unknown) bytes_ += static_cast<int64_t>(size);
  }
}

void TextSource::read(const serve::TakeText& take) const {
  if (standard_input_) serve::read_texts(console_.in, "stdin", options_, take, complain_);
  for (const std::filesystem::path& file : files_) {
    serve::read_texts(file, options_, take, complain_);
  }
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{1024} * usage.ru_maxrss;
}

}  // namespace lowrank::cli
