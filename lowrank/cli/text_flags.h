// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "lowrank/cli/console.h"
#include "lowrank/serve/pieces.h"
#include "lowrank/serve/read_texts.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// Where a command reads texts.
struct TextFlags {
  std::vector<std::string> inputs;  // none: standard input
  bool lines = false;
  bool jsonl = false;
  std::string text_key = "text";
  std::string pair_key = "pair";
};

// How a command runs its model over them.
struct InferenceFlags {
  std::string on_overflow = "error";
  int64_t max_length = 0;  // 0: the model's
  int64_t token_budget = 16384;
  std::string device = "cpu";
  std::string dtype = {};  // empty: the file's
};

void add(CLI::App& app, TextFlags& flags);
// `overflow_help` says what chunk and interpolate mean for the command.
void add(CLI::App& app, InferenceFlags& flags, const std::string& overflow_help);

// --device and --dtype, of every command that runs a saved model.
void add_device(CLI::App& app, std::string& device, std::string& dtype);

serve::TextModel load(const std::string& model, const InferenceFlags& flags);
// `offers_chunks`: whether --on-overflow chunk is a way out of an input's length here.
serve::PieceOptions piece_options(const InferenceFlags& flags, bool offers_chunks = true);

// Whether a file that begins so is an array of NumPy's. No text in UTF-8 begins like that.
bool is_array(std::string_view beginning);

// What is wrong with the array `source` where a text is read.
std::string not_a_text(const std::string& source);

int64_t bytes_of(const std::vector<std::filesystem::path>& files);

// The texts that the flags name, files first found and then read one after the other.
// An array is complained of.
class TextSource {
 public:
  TextSource(const TextFlags& flags, const Console& console, const serve::Complain& complain);
  int64_t bytes() const { return bytes_; }  // of all files; 0 for standard input
  void read(const serve::TakeText& take) const;

 private:
  serve::ReadOptions options_;
  const Console& console_;
  serve::Complain complain_;
  bool standard_input_;
  std::vector<std::filesystem::path> files_;
  int64_t bytes_ = 0;
};

// The most memory that this process has held so far.
int64_t peak_memory_bytes();

}  // namespace lowrank::cli
