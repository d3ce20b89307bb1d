// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lowrank/text/tokenizer.h"

namespace lowrank::text {

// One id a word, words being what white space (space, tab, CR, LF) divides: ids 0 and on are the words of
// a list in its order, then [UNK] for other words, [CLS], [SEP] and [MASK]. Decoding puts one space between
// two words.
class WordListTokenizer final : public Tokenizer {
 public:
  // `left_out` are words that have no token: nothing stands for them. Throws Error for a word that is there
  // twice, empty, or holds white space.
  WordListTokenizer(std::string kind, std::vector<std::string> words,
                    std::vector<std::string> left_out = {});

  std::string kind() const override { return kind_; }
  int64_t vocabulary() const override { return std::ssize(pieces_); }
  std::optional<int64_t> cls() const override { return vocabulary() - 3; }
  std::optional<int64_t> separator() const override { return vocabulary() - 2; }
  std::optional<int64_t> mask() const override { return vocabulary() - 1; }
  std::optional<int64_t> pad() const override { return std::nullopt; }
  std::optional<int64_t> unknown() const override { return vocabulary() - 4; }
  bool is_special(int64_t id) const override { return id >= vocabulary() - 4; }
  const SequenceTemplate& sequence_template() const override { return template_; }
  std::string token(int64_t id) const override;
  std::optional<int64_t> id(std::string_view token) const override;
  std::vector<int64_t> encode(std::string_view text) const override;
  Tokens encode_with_spans(std::string_view text) const override;
  std::string decode(std::span<const int64_t> ids, bool skip_special = false) const override;

 private:
  void add(const std::string& word, int64_t id);
  template <class Take>
  void for_each_token(std::string_view text, const Take& take) const;

  std::string kind_;
  std::vector<std::string> pieces_;                  // by id
  std::map<std::string, int64_t, std::less<>> ids_;  // -1: left out
  SequenceTemplate template_;
};

// The symbols of ListOps expressions: 0 to 9, [MIN [MAX [MED [SM and ]; v = 19. The parentheses that Long
// Range Arena's files have around pairs are left out, as there.
std::shared_ptr<const Tokenizer> make_listops_tokenizer();

}  // namespace lowrank::text
