// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/added_tokens.h"

#include <algorithm>

#include "lowrank/text/characters.h"

namespace lowrank::text {
namespace {

bool stands_alone(std::string_view text, Range match) {
  const bool word_before =
      match.begin > 0 && is_word_character(character_before(text, match.begin).code);
  const bool word_after =
      match.end < text.size() && is_word_character(character_at(text, match.end).code);
  return !word_before && !word_after;
}

size_t spaces_begin(std::string_view text, size_t end) {
  while (end > 0 && is_white_space(character_before(text, end).code)) {
    end = character_before(text, end).begin;
  }
  return end;
}

size_t spaces_end(std::string_view text, size_t begin) {
  while (begin < text.size() && is_white_space(character_at(text, begin).code)) {
    begin = character_at(text, begin).end;
  }
  return begin;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    // Two may normalize to the same text: the first is found.
    const bool is_new = std::none_of(tokens_.begin(), tokens_.begin() + static_cast<int64_t>(i),
                                     [&](const auto& other) { return other.content == content; });
    if (is_new) entries.emplace_back(content, static_cast<int32_t>(i));
    begins_[static_cast<unsigned char>(content[0])] = true;
  }
  trie_ = ByteTrie(std::move(entries));
}

AddedTokenFinder::Match AddedTokenFinder::longest_at(std::string_view text, size_t at) const {
  Match longest;
  int32_t node = ByteTrie::kRoot;
  for (size_t i = at; i < text.size(); ++i) {
    node = trie_.child(node, text[i]);
    if (node == ByteTrie::kNone) break;
    if (trie_.value(node) != ByteTrie::kNone) longest = {i + 1, trie_.value(node)};
  }
  return longest;
}

void AddedTokenFinder::find(std::string_view text, std::vector<Found>& found) const {
  size_t done = 0;  // what stands before is in `found`
  for (size_t at = 0; at < text.size() && !empty();) {
    if (!begins_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const Match match = longest_at(text, at);
    if (match.token == ByteTrie::kNone) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(match.token)];
    Range range{at, match.end};
    at = match.end;
    if (token.single_word && !stands_alone(text, range)) continue;
    if (token.lstrip) range.begin = std::max(done, spaces_begin(text, range.begin));
    if (token.rstrip) range.end = spaces_end(text, range.end);
    range.begin = std::max(range.begin, done);  // spaces that the token before took
    if (done < range.begin) found.push_back({{done, range.begin}});
    found.push_back({range, static_cast<int32_t>(token.id)});
    done = range.end;
  }
  if (done < text.size()) found.push_back({{done, text.size()}});
}

}  // namespace lowrank::text
