// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lowrank/cli/console.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank convert MODEL OUT: another program's checkpoint to ours, ours to transformers', softmax
// attention to linear, with a report of what that costs and training that wins it back.
struct ConvertFlags {
  std::string model, out;
  std::string to = "lowrank";  // or huggingface
  bool fixed = false;
  bool force = false;  // replace OUT

  // What a checkpoint of another package does not tell.
  std::optional<int64_t> heads, segment_length, max_length, inverse_steps, shared_layers;
  std::string head, activation = "gelu", source_attention;
  bool causal = false, full_attention = false, per_matrix_start = false;

  std::string attention;  // empty: as it is; exact, nystrom, linformer, auto
  std::optional<int64_t> landmarks;
  int64_t conv = 0;
  int64_t projected = 128;
  std::string projection = "conv";
  std::string sharing = "headwise";
  std::string layers;  // "2-5,7"; empty: all
  double min_cosine = 0.98;

  int64_t max_positions = 0;  // 0: as it is
  std::string positions = "tile";

  std::vector<std::string> text;     // files that attention is measured on
  std::vector<std::string> distill;  // files that the student learns from
  std::string teacher;               // empty: MODEL
  double minutes = 10;
  int64_t steps = 0;
  int64_t length = 512;
  int64_t sequences = 4;
  double learning_rate = 2e-4;
  double target = 1;
  std::string precision = "float32";
  int64_t seed = 0;
  bool resume = false;  // OUT's interrupted distillation
  std::vector<int64_t> measure = {512, 4096, 16384};
  bool json = false;
};

void add(CLI::App& app, ConvertFlags& flags);
int run(const ConvertFlags& flags, const Console& console);

}  // namespace lowrank::cli
