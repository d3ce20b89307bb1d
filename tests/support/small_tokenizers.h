// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string>

// Contents of tokenizer.json, small enough to see what they do.
namespace lowrank::testing {

using nlohmann::json;

inline json special(int64_t id, const std::string& content) {
  return {{"id", id},        {"content", content}, {"special", true},    {"single_word", false},
          {"lstrip", false}, {"rstrip", false},    {"normalized", false}};
}

// BERT with "un", "able", a few letters, and [MASK] beyond the model's vocabulary.
inline json small_word_piece() {
  const json vocabulary = {{"[PAD]", 0}, {"[UNK]", 1},  {"[CLS]", 2}, {"[SEP]", 3},
                           {"un", 4},    {"##able", 5}, {"a", 6},     {"##a", 7},
                           {"b", 8},     {",", 9},      {"cafe", 10}};
  return {{"added_tokens",
           {special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]"),
            special(11, "[MASK]")}},
          {"normalizer", {{"type", "BertNormalizer"}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor",
           {{"type", "BertProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}}},
          {"decoder", {{"type", "WordPiece"}}},
          {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", vocabulary}}}};
}

// The characters that a byte-level vocabulary writes the 256 bytes as, in the order of the bytes.
inline std::string byte_character(int byte) {
  static const auto kCodes = [] {
    std::array<int, 256> codes{};
    int next = 256;
    for (int i = 0; i < 256; ++i) {
      const bool printable = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
      codes[static_cast<size_t>(i)] = printable ? i : next++;
    }
    return codes;
  }();
  const int code = kCodes[static_cast<size_t>(byte)];
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

// GPT-2 with the bytes as 0 to 255, "he" 256, " he" 257, "ll" 258, and <|endoftext|> 259.
inline json small_byte_pair() {
  json vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary[byte_character(byte)] = byte;
  const std::string space = byte_character(' ');
  vocabulary["he"] = 256;
  vocabulary[space + "he"] = 257;
  vocabulary["ll"] = 258;
  return {{"added_tokens", {special(259, "<|endoftext|>")}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor", {{"type", "ByteLevel"}, {"trim_offsets", true}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"h e", space + " he", "l l"}}}}};
}

// T5 with "_", "_he", "he", "l", "o" and </s>.
inline json small_unigram() {
  const std::string mark = "\xE2\x96\x81";
  const json pieces = json::array({{"<pad>", 0.0},
                                   {"</s>", 0.0},
                                   {"<unk>", 0.0},
                                   {mark, -2.0},
                                   {mark + "he", -3.0},
                                   {"he", -3.5},
                                   {"l", -2.5},
                                   {"o", -2.5}});
  const auto text = [](const char* id) { return json{{"Sequence", {{"id", id}, {"type_id", 0}}}}; };
  const json end = {{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}};
  return {{"added_tokens", {special(0, "<pad>"), special(1, "</s>"), special(2, "<unk>")}},
          {"normalizer", {{"type", "NFKC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers", {{{"type", "WhitespaceSplit"}}, {{"type", "Metaspace"}}}}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", {text("A"), end}},
            {"pair", {text("A"), end, text("B"), end}},
            {"special_tokens", {{"</s>", {{"id", "</s>"}, {"ids", {1}}}}}}}},
          {"decoder", {{"type", "Metaspace"}}},
          {"model", {{"type", "Unigram"}, {"unk_id", 2}, {"vocab", pieces}}}};
}

}  // namespace lowrank::testing
