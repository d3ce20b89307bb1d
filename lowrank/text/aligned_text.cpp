// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/aligned_text.h"

#include "lowrank/text/characters.h"

namespace lowrank::text {

int64_t AlignedText::start_of(size_t at) const {
  if (origins_.empty()) return offset_ + static_cast<int64_t>(at);
  return at < origins_.size() ? origins_[at].begin : origins_.back().end;
}

Span AlignedText::origin(size_t begin, size_t end) const {
  if (begin == end) return {start_of(begin), start_of(begin)};
  if (origins_.empty()) return {start_of(begin), start_of(end)};
  return {origins_[begin].begin, origins_[end - 1].end};
}

AlignedText AlignedText::part(size_t begin, size_t end) const {
  AlignedText piece(std::string_view(text_).substr(begin, end - begin), start_of(begin));
  if (!origins_.empty()) {
    piece.origins_.assign(origins_.begin() + static_cast<int64_t>(begin),
                          origins_.begin() + static_cast<int64_t>(end));
  }
  return piece;
}

// As long as one stretch of the original is kept, the offset alone says where it came from.
void Rewriting::make_origins() {
  if (has_origins_) return;
  has_origins_ = true;
  to_.origins_.reserve(from_.text_.size());
  for (size_t i = 0; i < to_.text_.size(); ++i) {
    const int64_t at = to_.offset_ + static_cast<int64_t>(i);
    to_.origins_.push_back({at, at + 1});
  }
}

void Rewriting::keep(size_t begin, size_t end) {
  if (begin == end) return;
  const bool first = to_.text_.empty();
  const bool goes_on =
      from_.origins_.empty() && !has_origins_ &&
      (first || from_.start_of(begin) == to_.offset_ + static_cast<int64_t>(to_.text_.size()));
  to_.text_.append(from_.text_, begin, end - begin);
  if (goes_on) {
    if (first) to_.offset_ = from_.start_of(begin);
    return;
  }
  to_.text_.resize(to_.text_.size() - (end - begin));
  make_origins();
  to_.text_.append(from_.text_, begin, end - begin);
  for (size_t i = begin; i < end; ++i) to_.origins_.push_back(from_.origin(i, i + 1));
}

void Rewriting::replace(size_t begin, size_t end, std::string_view with) {
  if (with.empty()) return;
  make_origins();
  to_.text_ += with;
  to_.origins_.resize(to_.text_.size(), from_.origin(begin, end));
}

void Rewriting::take_in_what_was_before() {
  if (to_.text_.empty() || to_.start_of(0) == from_.start_of(0)) return;
  make_origins();
  to_.origins_[0].begin = from_.start_of(0);
}

AlignedText well_formed(std::string_view text) {
  const AlignedText original(text);
  Rewriting rewriting(original);
  for_each_character(text, [&](const Character& c) {
    if (c.code < 0) {
      rewriting.replace(c.begin, c.end, "\xEF\xBF\xBD");
    } else {
      rewriting.keep(c.begin, c.end);
    }
  });
  return rewriting.finish();
}

}  // namespace lowrank::text
