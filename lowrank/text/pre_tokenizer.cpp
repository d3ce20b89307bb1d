// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/pre_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "lowrank/text/byte_level.h"
#include "lowrank/text/characters.h"
#include "lowrank/text/old_categories.h"
#include "lowrank/text/pattern.h"

namespace lowrank::text {
namespace {

enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

Behavior behavior_of(const CheckedJson& json) {
  const std::string name = json.text();
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  json.fail(
      fmt::format("\"{}\" is no way to split; it must be Removed, Isolated, MergedWithPrevious, "
                  "MergedWithNext or Contiguous.",
                  name));
}

// A stretch of a text that a pattern matched, or one between two matches.
struct Stretch {
  Range range;
  bool matched = false;
};

std::vector<Stretch> stretches_of(const std::vector<Range>& matches, size_t size, bool invert) {
  std::vector<Stretch> all;
  size_t done = 0;
  for (const Range& match : matches) {
    if (done < match.begin) all.push_back({{done, match.begin}, invert});
    all.push_back({match, !invert});
    done = match.end;
  }
  if (done < size) all.push_back({{done, size}, invert});
  return all;
}

// Joins a match to the stretch before it unless that is a match itself.
void merge_with_previous(std::vector<Stretch>& all) {
  std::vector<Stretch> merged;
  bool after_match = false;
  for (const Stretch& stretch : all) {
    if (stretch.matched && !after_match && !merged.empty()) {
      merged.back().range.end = stretch.range.end;
    } else {
      merged.push_back(stretch);
    }
    after_match = stretch.matched;
  }
  all = std::move(merged);
}

void merge_with_next(std::vector<Stretch>& all) {
  std::vector<Stretch> merged;
  bool before_match = false;
  for (auto stretch = all.rbegin(); stretch != all.rend(); ++stretch) {
    if (stretch->matched && !before_match && !merged.empty()) {
      merged.back().range.begin = stretch->range.begin;
    } else {
      merged.push_back(*stretch);
    }
    before_match = stretch->matched;
  }
  all.assign(merged.rbegin(), merged.rend());
}

void merge_alike(std::vector<Stretch>& all) {
  std::vector<Stretch> merged;
  for (const Stretch& stretch : all) {
    if (!merged.empty() && merged.back().matched == stretch.matched) {
      merged.back().range.end = stretch.range.end;
    } else {
      merged.push_back(stretch);
    }
  }
  all = std::move(merged);
}

// Splits each word where `matches(text)` says.
template <class Matches>
void split_each(std::vector<AlignedText>& words, Behavior behavior, bool invert,
                const Matches& matches) {
  std::vector<AlignedText> split;
  for (const AlignedText& word : words) {
    std::vector<Stretch> all = stretches_of(matches(word.text()), word.text().size(), invert);
    if (behavior == Behavior::kMergedWithPrevious) merge_with_previous(all);
    if (behavior == Behavior::kMergedWithNext) merge_with_next(all);
    if (behavior == Behavior::kContiguous) merge_alike(all);
    for (const Stretch& stretch : all) {
      if (behavior == Behavior::kRemoved && stretch.matched) continue;
      split.push_back(word.part(stretch.range.begin, stretch.range.end));
    }
  }
  words = std::move(split);
}

// The characters for which `holds`, each a match of its own.
template <class Holds>
std::vector<Range> characters_where(std::string_view text, const Holds& holds) {
  std::vector<Range> found;
  for_each_character(text, [&](const Character& c) {
    if (c.code >= 0 && holds(c.code)) found.push_back({c.begin, c.end});
  });
  return found;
}

bool is_punctuation(UChar32 code) {
  const bool ascii = (code >= '!' && code <= '/') || (code >= ':' && code <= '@') ||
                     (code >= '[' && code <= '`') || (code >= '{' && code <= '~');
  return ascii || had_category(code, U_GC_P_MASK, UnicodeVersion::k8);
}

std::vector<Range> white_space(std::string_view text) {
  return characters_where(text, is_white_space);
}

std::vector<Range> punctuation(std::string_view text) {
  return characters_where(text, is_punctuation);
}

// Runs of word characters, and runs of what is neither word character nor space.
std::vector<Range> words_and_symbols(std::string_view text) {
  enum class Kind { kSpace, kWord, kSymbol };
  std::vector<Range> found;
  Kind previous = Kind::kSpace;
  for_each_character(text, [&](const Character& c) {
    const Kind kind = is_word_character(c.code)               ? Kind::kWord
                      : c.code >= 0 && is_white_space(c.code) ? Kind::kSpace
                                                              : Kind::kSymbol;
    if (kind != Kind::kSpace && kind == previous) {
      found.back().end = c.end;
    } else if (kind != Kind::kSpace) {
      found.push_back({c.begin, c.end});
    }
    previous = kind;
  });
  return found;
}

class BertPreTokenizer final : public PreTokenizer {
 public:
  void split(std::vector<AlignedText>& words) const override {
    split_each(words, Behavior::kRemoved, false, white_space);
    split_each(words, Behavior::kIsolated, false, punctuation);
  }
  bool splits_at_spaces() const override { return true; }
  bool isolates_punctuation() const override { return true; }
};

class WhitespaceSplit final : public PreTokenizer {
 public:
  void split(std::vector<AlignedText>& words) const override {
    split_each(words, Behavior::kRemoved, false, white_space);
  }
  bool splits_at_spaces() const override { return true; }
};

class Whitespace final : public PreTokenizer {
 public:
  void split(std::vector<AlignedText>& words) const override {
    split_each(words, Behavior::kRemoved, true, words_and_symbols);
  }
  bool splits_at_spaces() const override { return true; }
};

class Punctuation final : public PreTokenizer {
 public:
  explicit Punctuation(const CheckedJson& json) {
    if (const auto behavior = json.find("behavior")) behavior_ = behavior_of(*behavior);
  }
  void split(std::vector<AlignedText>& words) const override {
    split_each(words, behavior_, false, punctuation);
  }

 private:
  Behavior behavior_ = Behavior::kIsolated;
};

class Digits final : public PreTokenizer {
 public:
  explicit Digits(const CheckedJson& json)
      : behavior_(json.flag_or("individual_digits", false) ? Behavior::kIsolated
                                                           : Behavior::kContiguous) {}
  void split(std::vector<AlignedText>& words) const override {
    split_each(words, behavior_, false, [](std::string_view text) {
      return characters_where(text, [](UChar32 code) { return has_category(code, U_GC_N_MASK); });
    });
  }

 private:
  Behavior behavior_;
};

class Delimiter final : public PreTokenizer {
 public:
  explicit Delimiter(const CheckedJson& json) : delimiter_(json.at("delimiter")) {}
  void split(std::vector<AlignedText>& words) const override {
    split_each(words, Behavior::kRemoved, false,
               [&](std::string_view text) { return delimiter_.matches(text); });
  }

 private:
  Pattern delimiter_;
};

class Split final : public PreTokenizer {
 public:
  explicit Split(const CheckedJson& json)
      : pattern_(json.at("pattern")),
        behavior_(behavior_of(json.at("behavior"))),
        invert_(json.flag_or("invert", false)) {}
  void split(std::vector<AlignedText>& words) const override {
    split_each(words, behavior_, invert_,
               [&](std::string_view text) { return pattern_.matches(text); });
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

AlignedText with_prefix(const AlignedText& word, std::string_view prefix) {
  Rewriting rewriting(word);
  rewriting.replace(0, 0, prefix);
  rewriting.keep(0, word.text().size());
  return rewriting.finish();
}

// SentencePiece's: spaces are written as a character of the vocabulary, and words begin with it.
class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(const CheckedJson& json)
      : replacement_(json.text_or("replacement", "\xE2\x96\x81")),
        splits_(json.flag_or("split", true)) {
    const std::string before =
        json.flag_or("add_prefix_space", true) ? "always" : "never";  // as older files say it
    const std::string scheme = json.text_or("prepend_scheme", before);
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      json.fail("prepend_scheme must be always, first or never. Mend the file.");
    }
    always_ = scheme == "always";
    first_ = scheme == "first";
  }

  void split(std::vector<AlignedText>& words) const override {
    std::vector<AlignedText> marked;
    for (const AlignedText& word : words) marked.push_back(mark(word));
    words = std::move(marked);
    if (!splits_) return;
    split_each(words, Behavior::kMergedWithNext, false, [&](std::string_view text) {
      std::vector<Range> found;
      for (size_t at = text.find(replacement_); at != std::string_view::npos;
           at = text.find(replacement_, at + replacement_.size())) {
        found.push_back({at, at + replacement_.size()});
      }
      return found;
    });
  }

  bool knows_place() const { return first_; }

 private:
  AlignedText mark(const AlignedText& word) const {
    Rewriting rewriting(word);
    const std::string_view text = word.text();
    const bool prepends = always_ || (first_ && word.origin(0, 0).begin == 0);
    if (prepends && !text.starts_with(replacement_) && !text.starts_with(' ')) {
      rewriting.replace(0, 0, replacement_);
    }
    size_t done = 0;
    for (size_t at = text.find(' '); at != std::string_view::npos; at = text.find(' ', at + 1)) {
      rewriting.keep(done, at);
      rewriting.replace(at, at + 1, replacement_);
      done = at + 1;
    }
    rewriting.keep(done, text.size());
    return rewriting.finish();
  }

  std::string replacement_;
  bool always_ = false, first_ = false, splits_ = true;
};

class ByteLevel final : public PreTokenizer {
 public:
  explicit ByteLevel(const CheckedJson& json)
      : adds_space_(json.flag_or("add_prefix_space", true)),
        splits_(json.flag_or("use_regex", true)) {}

  void split(std::vector<AlignedText>& words) const override {
    if (adds_space_) {
      for (AlignedText& word : words) {
        if (!word.text().starts_with(' ')) word = with_prefix(word, " ");
      }
    }
    if (!splits_) return;
    split_each(words, Behavior::kIsolated, false, [](std::string_view text) {
      std::vector<Range> found;
      for (size_t at = 0; at < text.size();) {
        const size_t end = byte_level_word_end(text, at);
        found.push_back({at, end});
        at = end;
      }
      return found;
    });
  }

  bool is_byte_level() const override { return true; }
  bool is_byte_level_pattern() const override { return splits_; }
  bool adds_prefix_space() const override { return adds_space_; }

 private:
  bool adds_space_, splits_;
};

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(const CheckedJson& json) {
    for (const CheckedJson& item : json.at("pretokenizers").items()) {
      if (is_byte_level()) {
        item.fail("a pre-tokenizer after ByteLevel is not supported. ByteLevel must be the last.");
      }
      steps_.push_back(make_pre_tokenizer(item));
    }
  }
  void split(std::vector<AlignedText>& words) const override {
    for (const auto& step : steps_) step->split(words);
  }
  bool splits_at_spaces() const override {
    const auto knows_place = [](const auto& step) {
      const auto* metaspace = dynamic_cast<const Metaspace*>(step.get());
      return metaspace != nullptr && metaspace->knows_place();
    };
    return !steps_.empty() && steps_.front()->splits_at_spaces() &&
           std::none_of(steps_.begin(), steps_.end(), knows_place);
  }
  bool isolates_punctuation() const override {
    return steps_.size() == 1 && steps_[0]->isolates_punctuation();
  }
  bool is_byte_level() const override { return !steps_.empty() && steps_.back()->is_byte_level(); }
  bool is_byte_level_pattern() const override {
    return steps_.size() == 1 && steps_[0]->is_byte_level_pattern();
  }
  bool adds_prefix_space() const override {
    return steps_.size() == 1 && steps_[0]->adds_prefix_space();
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const CheckedJson& json) {
  const std::string type = json.at("type").text();
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(json);
  if (type == "Metaspace") return std::make_unique<Metaspace>(json);
  if (type == "Sequence") return std::make_unique<Sequence>(json);
  if (type == "Split") return std::make_unique<Split>(json);
  if (type == "Punctuation") return std::make_unique<Punctuation>(json);
  if (type == "Digits") return std::make_unique<Digits>(json);
  if (type == "CharDelimiterSplit") return std::make_unique<Delimiter>(json);
  json.fail(fmt::format(
      "the pre-tokenizer \"{}\" is not supported. Supported are BertPreTokenizer, ByteLevel, "
      "CharDelimiterSplit, Digits, Metaspace, Punctuation, Sequence, Split, Whitespace and "
      "WhitespaceSplit.",
      type));
}

}  // namespace lowrank::text
