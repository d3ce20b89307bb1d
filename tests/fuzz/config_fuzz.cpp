// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "lowrank/models/config.h"

// Any bytes as the "model" of a config.json: one sentence, or a configuration that is written and read to the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lowrank;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    models::ModelConfig config;
    const auto describe = [&](ConfigFields& fields) { models::describe(fields, config); };
    read_config(parse_json(text, "config.json"), "config.json", describe);
    models::check(config, "config.json");
    const Json written = write_config(describe);
    read_config(written, "config.json", describe);
    if (write_config(describe) != written) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
