// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "lowrank/text/checked_json.h"
#include "lowrank/text/encode.h"
#include "lowrank/text/pipeline_tokenizer.h"
#include "tests/support/small_tokenizers.h"

namespace {

using namespace lowrank;
using nlohmann::json;

std::unique_ptr<text::Tokenizer> make(const json& description) {
  return std::make_unique<text::PipelineTokenizer>(text::CheckedJson(description, "tokenizer.json"),
                                                   text::RoleNames{}, std::nullopt);
}

json with(json description, const char* member, const json& value) {
  description[member] = value;
  return description;
}

// The kinds, and each road that a text may take through one.
struct Tokenizers {
  std::unique_ptr<text::Tokenizer> word_piece = make(testing::small_word_piece());
  std::unique_ptr<text::Tokenizer> byte_pair = make(testing::small_byte_pair());
  std::unique_ptr<text::Tokenizer> byte_pair_nfc =
      make(with(testing::small_byte_pair(), "normalizer", {{"type", "NFC"}}));
  std::unique_ptr<text::Tokenizer> unigram = make(testing::small_unigram());
  std::unique_ptr<text::Tokenizer> unigram_whole =
      make(with(testing::small_unigram(), "pre_tokenizer",
                {{"type", "Metaspace"}, {"prepend_scheme", "first"}}));
  std::unique_ptr<text::Tokenizer> split =
      make(with(testing::small_unigram(), "pre_tokenizer",
                {{"type", "Split"},
                 {"pattern", {{"Regex", R"(\w+|[^\w\s]+|\s+(?!\S))"}}},
                 {"behavior", "MergedWithPrevious"}}));
};

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const text::Tokenizer& tokenizer, std::string_view bytes) {
  const text::Tokens tokens = tokenizer.encode_with_spans(bytes);
  require(tokens.ids == tokenizer.encode(bytes));
  require(tokens.ids.size() == tokens.spans.size());
  text::Span last;
  for (const text::Span& span : tokens.spans) {
    require(span.begin >= last.begin && span.end >= last.end && span.begin <= span.end);
    last = span;
  }
  require(last.end <= static_cast<int64_t>(bytes.size()));
  for (const int64_t id : tokens.ids) require(id >= 0 && id < tokenizer.vocabulary());
  tokenizer.decode(tokens.ids);
}

}  // namespace

// Any bytes as a text: ids in range, spans in order, and no byte lost where every byte is a piece.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tokenizers kTokenizers;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check(*kTokenizers.word_piece, bytes);
  check(*kTokenizers.unigram, bytes);
  check(*kTokenizers.unigram_whole, bytes);
  check(*kTokenizers.split, bytes);
  check(*kTokenizers.byte_pair_nfc, bytes);
  check(*kTokenizers.byte_pair, bytes);
  const auto ids = kTokenizers.byte_pair->encode(bytes);
  require(kTokenizers.byte_pair->decode(ids) == bytes);
  return 0;
}
