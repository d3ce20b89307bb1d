// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/config.h"
#include "tests/fuzz/seeds.h"

namespace lowrank::testing {

std::vector<std::string> seeds() {
  std::vector<std::string> texts = {"{}"};
  models::ModelConfig config;
  config.layers = 3;
  config.classes = {"yes", "no"};
  config.attention = {ExactOptions{}, NystromOptions{.landmarks = 8, .exact_up_to = 16, .conv = 33},
                      LinformerOptions{}};
  config.embeddings.max_positions = 16;
  for (const bool one_kind : {false, true}) {
    if (one_kind) config.attention.resize(1);
    const Json json = write_config([&](ConfigFields& fields) { models::describe(fields, config); });
    texts.push_back(json.dump());
  }
  return texts;
}

}  // namespace lowrank::testing
