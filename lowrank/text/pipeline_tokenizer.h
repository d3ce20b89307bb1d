// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "lowrank/text/added_tokens.h"
#include "lowrank/text/checked_json.h"
#include "lowrank/text/normalizer.h"
#include "lowrank/text/piece_decoder.h"
#include "lowrank/text/piece_model.h"
#include "lowrank/text/post_processor.h"
#include "lowrank/text/pre_tokenizer.h"
#include "lowrank/text/tokenizer.h"
#include "lowrank/text/word_cache.h"

namespace lowrank::text {

// Names of the tokens with a role; absent ones are taken from the template and the usual names.
struct RoleNames {
  std::optional<std::string> cls, separator, mask, pad, unknown;
};

// A tokenizer as tokenizer.json describes one: added tokens are found, the text between them is
// normalized, split into words, and these are spelled by the model.
//
// Note [Words on their own]: most tokenizers treat a word alike wherever it stands. Texts are then cut at
// spaces (or by GPT-2's pattern) before anything else, and what became of a word is remembered: of a
// long text few words are ever normalized and spelled. The steps say whether they allow it.
class PipelineTokenizer final : public Tokenizer {
 public:
  // Of the content of a tokenizer.json; its truncation and padding are not looked at. Throws Error
  // naming what is wrong or not supported.
  PipelineTokenizer(const CheckedJson& json, const RoleNames& names,
                    std::optional<int64_t> max_length);

  std::string kind() const override { return "files"; }
  int64_t vocabulary() const override { return vocabulary_; }
  std::optional<int64_t> cls() const override { return cls_; }
  std::optional<int64_t> separator() const override { return separator_; }
  std::optional<int64_t> mask() const override { return mask_; }
  std::optional<int64_t> pad() const override { return pad_; }
  std::optional<int64_t> unknown() const override { return unknown_; }
  bool is_special(int64_t id) const override;
  const SequenceTemplate& sequence_template() const override { return post_processor_.sequence; }
  bool trims_spans() const override { return post_processor_.trims_spans; }
  std::optional<int64_t> max_length() const override { return max_length_; }
  std::string token(int64_t id) const override;
  std::optional<int64_t> id(std::string_view token) const override;
  std::vector<int64_t> encode(std::string_view text) const override;
  Tokens encode_with_spans(std::string_view text) const override;
  std::string decode(std::span<const int64_t> ids, bool skip_special = false) const override;

 private:
  // How a text between added tokens is cut before it is looked at; see Note [Words on their own].
  enum class Cut { kNowhere, kAtSpaces, kByteLevelPattern };
  enum class Ascii : uint8_t { kPlain, kSeparator, kPunctuation };
  struct Output;  // where tokens go

  void read_added_tokens(const CheckedJson& json);
  void set_roles(const RoleNames& names);
  void check_template(const CheckedJson& json) const;
  void choose_cut();

  void encode_text(std::string_view text, Output& output) const;
  void encode_part(std::string_view text, int64_t offset, Output& output) const;
  void encode_words(std::string_view text, int64_t offset, Output& output) const;
  void encode_by_pattern(std::string_view text, int64_t offset, Output& output) const;
  void encode_chunk(std::string_view chunk, int64_t offset, Output& output) const;
  void encode_whole(std::string_view text, int64_t offset, Output& output) const;
  void spell_cached(std::string_view word, Output& output) const;
  bool is_marked_special(int64_t id) const;
  bool joins(std::string_view text, size_t separator) const;

  std::unique_ptr<Normalizer> normalizer_;  // null: none
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<PieceModel> model_;
  std::unique_ptr<PieceDecoder> decoder_;
  PostProcessor post_processor_;

  std::vector<AddedToken> added_;
  std::vector<std::string> added_texts_;             // what each decodes to: its normalized content
  std::unordered_map<int64_t, size_t> added_by_id_;  // index into added_
  std::unordered_map<std::string, size_t> added_by_content_;
  AddedTokenFinder in_text_, in_normalized_;

  bool byte_level_ = false;
  Cut cut_ = Cut::kNowhere;
  std::array<Ascii, 256> ascii_{};

  int64_t vocabulary_ = 0;
  std::optional<int64_t> cls_, separator_, mask_, pad_, unknown_, max_length_;
  WordCaches caches_;
};

}  // namespace lowrank::text
