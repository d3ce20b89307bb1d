// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/word_list.h"

#include <fmt/format.h>

#include <algorithm>

#include "lowrank/base/error.h"

namespace lowrank::text {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr int64_t kLeftOut = -1;

}  // namespace

WordListTokenizer::WordListTokenizer(std::string kind, std::vector<std::string> words,
                                     std::vector<std::string> left_out)
    : kind_(std::move(kind)), pieces_(std::move(words)) {
  for (const char* special : {"[UNK]", "[CLS]", "[SEP]", "[MASK]"}) pieces_.emplace_back(special);
  for (size_t i = 0; i < pieces_.size(); ++i) add(pieces_[i], static_cast<int64_t>(i));
  for (const std::string& word : left_out) add(word, kLeftOut);
  using Part = SequenceTemplate::Part;
  template_.single = {
      {.part = Part::kSpecial, .id = *cls()}, {}, {.part = Part::kSpecial, .id = *separator()}};
  template_.pair = template_.single;
  template_.pair.push_back({.part = Part::kSecond, .segment = 1});
  template_.pair.push_back({.part = Part::kSpecial, .id = *separator(), .segment = 1});
}

void WordListTokenizer::add(const std::string& word, int64_t id) {
  const bool one_word = !word.empty() && word.find_first_of(kSpace) == std::string::npos;
  if (one_word && ids_.emplace(word, id).second) return;
  throw Error(
      fmt::format("tokenizer \"{}\": the list has \"{}\"; it must hold words, each once. Mend the "
                  "list.",
                  kind_, word));
}

// Calls take(id, span) for every word that has a token.
template <class Take>
void WordListTokenizer::for_each_token(std::string_view text, const Take& take) const {
  for (size_t end = 0;;) {
    const size_t begin = text.find_first_not_of(kSpace, end);
    if (begin == std::string_view::npos) return;
    end = std::min(text.find_first_of(kSpace, begin), text.size());
    const auto found = ids_.find(text.substr(begin, end - begin));
    const int64_t id = found == ids_.end() ? *unknown() : found->second;
    if (id != kLeftOut) take(id, Span{static_cast<int64_t>(begin), static_cast<int64_t>(end)});
  }
}

std::string WordListTokenizer::token(int64_t id) const {
  if (id >= 0 && id < vocabulary()) return pieces_[static_cast<size_t>(id)];
  throw Error(fmt::format(
      "tokenizer \"{}\": id = {}; an id is from 0 to {}. Decode with the tokenizer that "
      "encoded.",
      kind_, id, vocabulary() - 1));
}

std::optional<int64_t> WordListTokenizer::id(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end() || found->second == kLeftOut) return std::nullopt;
  return found->second;
}

std::vector<int64_t> WordListTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> ids;
  for_each_token(text, [&](int64_t id, const Span&) { ids.push_back(id); });
  return ids;
}

Tokens WordListTokenizer::encode_with_spans(std::string_view text) const {
  Tokens tokens;
  for_each_token(text, [&](int64_t id, const Span& span) {
    tokens.ids.push_back(id);
    tokens.spans.push_back(span);
  });
  return tokens;
}

std::string WordListTokenizer::decode(std::span<const int64_t> ids, bool skip_special) const {
  std::string text;
  for (const int64_t id : ids) {
    const std::string word = token(id);
    if (skip_special && is_special(id)) continue;
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

std::shared_ptr<const Tokenizer> make_listops_tokenizer() {
  std::vector<std::string> words;
  for (char digit = '0'; digit <= '9'; ++digit) words.emplace_back(1, digit);
  for (const char* symbol : {"[MIN", "[MAX", "[MED", "[SM", "]"}) words.emplace_back(symbol);
  return std::make_shared<WordListTokenizer>("listops", std::move(words),
                                             std::vector<std::string>{"(", ")"});
}

}  // namespace lowrank::text
