// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/cli/console.h"
#include "lowrank/cli/text_flags.h"

namespace lowrank::cli {

// Sequences of one length for measurements of a model, out of the user's texts.
struct SampleFlags {
  std::string model = {};
  TextFlags texts = {};
  int64_t documents = 32;  // sequences of a length, at most
  int64_t per_text = 1;
  bool tile = false;
  uint64_t seed = 1;
  std::string device = "cpu";
  std::string dtype = {};  // empty: the file's
  bool json = false;
};

void add(CLI::App& app, SampleFlags& flags);

// The model of the flags. With --tile its positions reach `longest` tokens.
serve::TextModel load(const SampleFlags& flags, int64_t longest);

struct Samples {
  int64_t length = 0;  // tokens, special ones included
  std::vector<models::Inputs> sequences;
};

// For each length, the middle windows of the texts that have as many tokens, until there are enough. Says on
// `err` how many texts were too short. Throws Error where no text is long enough, and for a length that the
// model does not take.
std::vector<Samples> sample(const serve::TextModel& model, const SampleFlags& flags,
                            const std::vector<int64_t>& lengths, const Console& console);

// Whether the model's recipe puts special tokens around texts.
bool reads_special_tokens(const serve::TextModel& model);

// One sequence as the model reads it, on its device.
models::Inputs inputs_of(const text::Encoded& encoded, const serve::TextModel& model);

// Throws Misuse unless the folder that `file` is to be written into exists; an empty name is none.
void require_folder(const char* flag, const std::string& file);

}  // namespace lowrank::cli
