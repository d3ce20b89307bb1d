// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowrank::text {

// Text to token ids and back. Immutable after construction: safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string kind() const = 0;    // the name in config.json
  virtual int64_t vocabulary() const = 0;  // v; every id is in [0, v)
  virtual int64_t cls() const = 0;         // id put before a sequence when asked for
  virtual int64_t separator() const = 0;   // id put after a sequence when asked for
  virtual int64_t mask() const = 0;        // id that masked language models predict through
  virtual bool is_special(int64_t id) const = 0;

  // No special ids are added. Every byte string can be encoded.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  // The inverse of encode; special ids become "[CLS]", "[SEP]", "[MASK]". Throws Error for an id
  // outside the vocabulary.
  virtual std::string decode(std::span<const int64_t> ids) const = 0;
};

// One id a byte: 0 to 255 are the bytes, 256 CLS, 257 SEP, 258 MASK; v = 259.
class ByteTokenizer final : public Tokenizer {
 public:
  std::string kind() const override { return "bytes"; }
  int64_t vocabulary() const override { return 259; }
  int64_t cls() const override { return 256; }
  int64_t separator() const override { return 257; }
  int64_t mask() const override { return 258; }
  bool is_special(int64_t id) const override { return id >= 256; }
  std::vector<int64_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int64_t> ids) const override;
};

// The tokenizer of a config.json's name; throws Error for an unknown one.
std::shared_ptr<const Tokenizer> make_tokenizer(const std::string& kind);

}  // namespace lowrank::text
