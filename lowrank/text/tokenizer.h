// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowrank::text {

// The bytes [begin, end) of a text.
struct Span {
  int64_t begin = 0;
  int64_t end = 0;
  bool operator==(const Span&) const = default;
};

// Token ids and, for each, the bytes of the text that it stands for. Spans ascend: neither begins nor
// ends ever go back. A piece that the tokenizer inserted (a space before the first word) has an empty
// span; pieces of one character share that character's bytes, unless they are its bytes one by one.
struct Tokens {
  std::vector<int64_t> ids;
  std::vector<Span> spans;
};

// How a tokenizer puts special tokens around a text, or around the texts of a pair.
struct SequenceTemplate {
  enum class Part { kFirst, kSecond, kSpecial };
  struct Place {
    Part part = Part::kFirst;
    int64_t id = -1;      // of kSpecial
    int64_t segment = 0;  // of all its tokens
  };
  std::vector<Place> single = {{.part = Part::kFirst}};
  std::vector<Place> pair = {{.part = Part::kFirst}, {.part = Part::kSecond, .segment = 1}};
};

// Text to token ids and back. Safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string kind() const = 0;    // the name in config.json
  virtual int64_t vocabulary() const = 0;  // v; every id is in [0, v), added tokens included

  // Ids with a role; empty where the tokenizer has none, as GPT-2 and T5 have no CLS.
  virtual std::optional<int64_t> cls() const = 0;        // before a sequence
  virtual std::optional<int64_t> separator() const = 0;  // after a sequence
  virtual std::optional<int64_t> mask() const = 0;  // that masked language models predict through
  virtual std::optional<int64_t> pad() const = 0;   // other programs' filler; unused here
  virtual std::optional<int64_t> unknown() const = 0;  // for what no piece of the vocabulary spells
  virtual bool is_special(int64_t id) const = 0;

  virtual const SequenceTemplate& sequence_template() const = 0;
  // Whether spaces at the ends of a token's span do not count as its text; encode() in encode.h
  // leaves them out then.
  virtual bool trims_spans() const { return false; }
  // The most tokens of a sequence by the tokenizer's own configuration, if it says. Nothing here
  // applies it: what a model accepts is the model's to say.
  virtual std::optional<int64_t> max_length() const { return std::nullopt; }

  // The piece as the vocabulary writes it; empty for an id that is in range and names none. Throws
  // Error for an id outside the vocabulary.
  virtual std::string token(int64_t id) const = 0;
  virtual std::optional<int64_t> id(std::string_view token) const = 0;

  // No special ids are added; those that the text spells out are found by tokenizers read from files.
  // Every byte string can be encoded.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  virtual Tokens encode_with_spans(std::string_view text) const = 0;
  // The text of the ids: of a byte-level tokenizer the inverse of encode; others lose spaces, case or
  // accents. Special ids are written by name, or left out. Throws Error for an id outside the
  // vocabulary.
  virtual std::string decode(std::span<const int64_t> ids, bool skip_special = false) const = 0;
};

// One id a byte: 0 to 255 are the bytes, 256 CLS, 257 SEP, 258 MASK; v = 259.
class ByteTokenizer final : public Tokenizer {
 public:
  std::string kind() const override { return "bytes"; }
  int64_t vocabulary() const override { return 259; }
  std::optional<int64_t> cls() const override { return 256; }
  std::optional<int64_t> separator() const override { return 257; }
  std::optional<int64_t> mask() const override { return 258; }
  std::optional<int64_t> pad() const override { return std::nullopt; }
  std::optional<int64_t> unknown() const override { return std::nullopt; }
  bool is_special(int64_t id) const override { return id >= 256; }
  const SequenceTemplate& sequence_template() const override;
  std::string token(int64_t id) const override;
  std::optional<int64_t> id(std::string_view token) const override;
  std::vector<int64_t> encode(std::string_view text) const override;
  Tokens encode_with_spans(std::string_view text) const override;
  std::string decode(std::span<const int64_t> ids, bool skip_special = false) const override;
};

// The tokenizer that a config.json or a recipe names: "bytes"; "listops", of word_list.h; "files", those
// that lie in `folder`, the config.json's own; else the path of a folder with a tokenizer's files. Throws Error for any
// other name, and for files that cannot be used.
std::shared_ptr<const Tokenizer> make_tokenizer(const std::string& kind,
                                                const std::filesystem::path& folder = {});

}  // namespace lowrank::text
