// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "lowrank/base/error.h"
#include "lowrank/text/checked_json.h"
#include "lowrank/text/pipeline_tokenizer.h"

// Any bytes as a tokenizer.json: one sentence, or a tokenizer that encodes and decodes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lowrank;
  try {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const nlohmann::json document = text::parse_checked_json(bytes, "tokenizer.json");
    const text::PipelineTokenizer tokenizer(text::CheckedJson(document, "tokenizer.json"), {}, {});
    tokenizer.decode(tokenizer.encode("A caf\xC3\xA9, [CLS] he\xFF 12."));
  } catch (const Error&) {
  }
  return 0;
}
