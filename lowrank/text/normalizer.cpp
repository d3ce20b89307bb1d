// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/normalizer.h"

#include <fmt/format.h>
#include <unicode/brkiter.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <algorithm>

#include "lowrank/base/error.h"
#include "lowrank/text/char_map.h"
#include "lowrank/text/characters.h"
#include "lowrank/text/old_categories.h"
#include "lowrank/text/pattern.h"
#include "lowrank/text/utf8.h"

namespace lowrank::text {
namespace {

bool is_ascii(char byte) { return static_cast<unsigned char>(byte) < 0x80; }

// Rewrites a text character by character: `action(character, rewriting)` keeps or replaces it.
template <class Action>
void rewrite(AlignedText& text, const Action& action) {
  Rewriting rewriting(text);
  for_each_character(text.text(), [&](const Character& c) { action(c, rewriting); });
  text = rewriting.finish();
}

// Leaves out the characters for which `drops` holds.
template <class Drops>
void filter(AlignedText& text, const Drops& drops) {
  rewrite(text, [&](const Character& c, Rewriting& rewriting) {
    if (!drops(c.code)) rewriting.keep(c.begin, c.end);
  });
}

std::string lower(UChar32 code) {
  std::string result;
  if (code == 0x130) return "i\xCC\x87";  // the one character that has two in lower case
  append_character(result, u_tolower(code));
  return result;
}

void make_lower_case(AlignedText& text) {
  rewrite(text, [](const Character& c, Rewriting& rewriting) {
    if (c.code < 0 || (u_tolower(c.code) == c.code && c.code != 0x130)) {
      rewriting.keep(c.begin, c.end);
    } else {
      rewriting.replace(c.begin, c.end, lower(c.code));
    }
  });
}

// The end of the characters from `begin` on that normalization may treat together.
size_t segment_end(std::string_view text, size_t begin, const icu::Normalizer2& form) {
  const Character first = character_at(text, begin);
  size_t end = first.end;
  if (first.code < 0) return end;
  while (end < text.size() && !is_ascii(text[end])) {
    const Character next = character_at(text, end);
    if (next.code < 0 || form.hasBoundaryBefore(next.code)) break;
    end = next.end;
  }
  return end;
}

// The same characters decomposed and in the order that every form wants. ICU sorts marks by
// insertion, which takes the square of their number where that is large.
icu::UnicodeString in_canonical_order(std::string_view segment, const icu::Normalizer2& form) {
  icu::UnicodeString decomposed;
  for_each_character(segment, [&](const Character& c) {
    icu::UnicodeString parts;
    if (form.getDecomposition(c.code, parts)) {
      decomposed += parts;
    } else {
      decomposed += c.code;
    }
  });
  struct Mark {
    UChar32 code;
    uint8_t combining_class;
  };
  std::vector<Mark> all;
  for (int32_t i = 0; i < decomposed.length(); i = decomposed.moveIndex32(i, 1)) {
    const UChar32 code = decomposed.char32At(i);
    all.push_back({code, form.getCombiningClass(code)});
  }
  for (auto begin = all.begin(); begin != all.end();) {
    const auto end = std::find_if(begin + 1, all.end(),
                                  [](const Mark& mark) { return mark.combining_class == 0; });
    const auto marks = begin->combining_class == 0 ? begin + 1 : begin;
    std::stable_sort(marks, end, [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
    begin = end;
  }
  icu::UnicodeString ordered;
  for (const Mark& mark : all) ordered += mark.code;
  return ordered;
}

void normalize(AlignedText& text, const icu::Normalizer2& form) {
  constexpr size_t kFewBytes = 64;
  const std::string_view from = text.text();
  if (std::all_of(from.begin(), from.end(), is_ascii)) return;
  Rewriting rewriting(text);
  for (size_t begin = 0; begin < from.size();) {
    const size_t end = segment_end(from, begin, form);
    const std::string_view segment = from.substr(begin, end - begin);
    std::string to;
    if (!is_ascii(segment[0]) || segment.size() > 1) {
      UErrorCode status = U_ZERO_ERROR;
      const auto utf16 = segment.size() > kFewBytes
                             ? in_canonical_order(segment, form)
                             : icu::UnicodeString::fromUTF8(icu::StringPiece(
                                   segment.data(), static_cast<int32_t>(segment.size())));
      form.normalize(utf16, status).toUTF8String(to);
    }
    // ICU reads an ill-formed sequence as U+FFFD; here it stays what it is.
    if (to.empty() || to == segment || character_at(from, begin).code < 0) {
      rewriting.keep(begin, end);
    } else {
      rewriting.replace(begin, end, to);
    }
    begin = end;
  }
  text = rewriting.finish();
}

// A form of Unicode 9; see old_categories.h.
const icu::Normalizer2& form_of(std::string_view name) {
  struct Forms {
    UErrorCode status = U_ZERO_ERROR;
    icu::UnicodeSet known{icu::UnicodeString(u"[:age=9.0:]"), status};
    icu::FilteredNormalizer2 nfc{*icu::Normalizer2::getNFCInstance(status), known};
    icu::FilteredNormalizer2 nfd{*icu::Normalizer2::getNFDInstance(status), known};
    icu::FilteredNormalizer2 nfkc{*icu::Normalizer2::getNFKCInstance(status), known};
    icu::FilteredNormalizer2 nfkd{*icu::Normalizer2::getNFKDInstance(status), known};
    Forms() { known.freeze(); }
  };
  static const Forms kForms;
  if (U_FAILURE(kForms.status)) throw Error("ICU has no Unicode normalization. Install its data.");
  if (name == "NFC") return kForms.nfc;
  if (name == "NFD") return kForms.nfd;
  return name == "NFKC" ? kForms.nfkc : kForms.nfkd;
}

class UnicodeForm final : public Normalizer {
 public:
  explicit UnicodeForm(std::string_view name) : form_(form_of(name)) {}
  void apply(AlignedText& text) const override { normalize(text, form_); }

 private:
  const icu::Normalizer2& form_;
};

// A step that is one function.
class Step final : public Normalizer {
 public:
  using Function = void (*)(AlignedText&);
  explicit Step(Function function) : function_(function) {}
  void apply(AlignedText& text) const override { function_(text); }

 private:
  Function function_;
};

// BERT's own: control characters out, spaces around Chinese characters, accents off, lower case.
class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(const CheckedJson& json)
      : cleans_(json.flag_or("clean_text", true)),
        spaces_chinese_(json.flag_or("handle_chinese_chars", true)),
        lower_case_(json.flag_or("lowercase", true)),
        strips_accents_(json.flag_or("strip_accents", lower_case_)) {}

  void apply(AlignedText& text) const override {
    if (cleans_ || spaces_chinese_) {
      rewrite(text, [&](const Character& c, Rewriting& to) { clean(c, to); });
    }
    if (strips_accents_) {
      normalize(text, form_of("NFD"));
      filter(text,
             [](UChar32 code) { return had_category(code, U_GC_MN_MASK, UnicodeVersion::k8); });
    }
    if (lower_case_) make_lower_case(text);
  }

  bool treats_punctuation_alone() const override { return true; }

 private:
  static bool is_dropped(UChar32 code) {
    if (code == '\t' || code == '\n' || code == '\r') return false;
    return code == 0 || code == 0xFFFD ||
           had_category(code, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK, UnicodeVersion::k8);
  }

  static bool is_chinese(UChar32 code) {
    constexpr Range kRanges[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                 {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                 {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    const auto point = static_cast<size_t>(code);
    return std::any_of(std::begin(kRanges), std::end(kRanges), [&](const Range& range) {
      return point >= range.begin && point <= range.end;
    });
  }

  void clean(const Character& c, Rewriting& to) const {
    if (cleans_ && is_dropped(c.code)) return;
    if (cleans_ && c.code != ' ' && is_white_space(c.code)) {
      to.replace(c.begin, c.end, " ");
    } else if (spaces_chinese_ && c.code >= 0x3400 && is_chinese(c.code)) {
      to.replace(c.begin, c.begin, " ");
      to.keep(c.begin, c.end);
      to.replace(c.end, c.end, " ");
    } else {
      to.keep(c.begin, c.end);
    }
  }

  bool cleans_, spaces_chinese_, lower_case_, strips_accents_;
};

class Strip final : public Normalizer {
 public:
  explicit Strip(const CheckedJson& json)
      : left_(json.flag_or("strip_left", true)), right_(json.flag_or("strip_right", true)) {}

  void apply(AlignedText& text) const override {
    const std::string_view from = text.text();
    size_t begin = 0, end = from.size();
    while (left_ && begin < end && is_white_space(character_at(from, begin).code)) {
      begin = character_at(from, begin).end;
    }
    while (right_ && end > begin && is_white_space(character_before(from, end).code)) {
      end = character_before(from, end).begin;
    }
    text = text.part(begin, end);
  }
  bool treats_words_alone() const override { return false; }

 private:
  bool left_, right_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(const CheckedJson& json) : what_(json.at("prepend").text()) {}
  void apply(AlignedText& text) const override {
    if (text.empty()) return;
    Rewriting rewriting(text);
    rewriting.replace(0, 0, what_);
    rewriting.keep(0, text.text().size());
    text = rewriting.finish();
  }
  bool treats_words_alone() const override { return false; }

 private:
  std::string what_;
};

class Replace final : public Normalizer {
 public:
  explicit Replace(const CheckedJson& json)
      : pattern_(json.at("pattern")), content_(json.at("content").text()) {}

  void apply(AlignedText& text) const override {
    const std::vector<Range> matches = pattern_.matches(text.text());
    if (matches.empty()) return;
    Rewriting rewriting(text);
    size_t done = 0;
    for (const Range& match : matches) {
      rewriting.keep(done, match.begin);
      rewriting.replace(match.begin, match.end, content_);
      done = match.end;
    }
    rewriting.keep(done, text.text().size());
    text = rewriting.finish();
  }

  bool treats_words_alone() const override {
    const std::string& source = pattern_.source();
    if (!pattern_.is_string()) return source == " {2,}" && content_ == " ";
    bool has_space = false;
    for_each_character(source, [&](const Character& c) { has_space |= is_white_space(c.code); });
    return !has_space;
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// SentencePiece's, as Hugging Face applies it: a cluster of less than six bytes as a whole where the
// map has a beginning of it, else character by character. What it leaves out at the very beginning
// still counts as the beginning: Metaspace's "first" asks for that.
class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(const CheckedJson& json)
      : map_(decode_base64(json.at("precompiled_charsmap").text(), json.place()), json.place()) {
    UErrorCode status = U_ZERO_ERROR;
    clusters_.reset(icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
    if (U_FAILURE(status)) throw Error("ICU finds no clusters of characters. Install its data.");
  }

  void apply(AlignedText& text) const override {
    const std::string_view from = text.text();
    Rewriting rewriting(text);
    size_t begin = 0;
    for_each_cluster(from, [&](size_t end) {
      add_cluster(from, begin, end, rewriting);
      begin = end;
    });
    rewriting.take_in_what_was_before();
    text = rewriting.finish();
  }

 private:
  template <class Action>
  void for_each_cluster(std::string_view text, const Action& action) const {
    const auto is_simple = [](char c) { return is_ascii(c) && c != '\r'; };
    if (std::all_of(text.begin(), text.end(), is_simple)) {
      for (size_t i = 0; i < text.size(); ++i) action(i + 1);
      return;
    }
    UErrorCode status = U_ZERO_ERROR;
    const std::unique_ptr<UText, decltype(&utext_close)> utf8(
        utext_openUTF8(nullptr, text.data(), static_cast<int64_t>(text.size()), &status),
        &utext_close);
    const std::unique_ptr<icu::BreakIterator> clusters(clusters_->clone());
    clusters->setText(utf8.get(), status);
    if (U_FAILURE(status)) throw Error("ICU cannot read a text. It may be too long; cut it.");
    clusters->first();
    for (int32_t end = clusters->next(); end != icu::BreakIterator::DONE; end = clusters->next()) {
      action(static_cast<size_t>(end));
    }
  }

  void add_cluster(std::string_view from, size_t begin, size_t end, Rewriting& to) const {
    const std::string_view cluster = from.substr(begin, end - begin);
    if (cluster.size() < 6) {
      if (const auto replacement = map_.find(cluster)) {
        to.replace(begin, end, *replacement);
        return;
      }
    }
    for_each_character(cluster, [&](const Character& c) {
      const auto replacement = map_.find(cluster.substr(c.begin, c.end - c.begin));
      if (replacement) {
        to.replace(begin + c.begin, begin + c.end, *replacement);
      } else {
        to.keep(begin + c.begin, begin + c.end);
      }
    });
  }

  CharMap map_;
  std::unique_ptr<icu::BreakIterator> clusters_;
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(const CheckedJson& json) {
    for (const CheckedJson& item : json.at("normalizers").items()) {
      steps_.push_back(make_normalizer(item));
    }
  }
  void apply(AlignedText& text) const override {
    for (const auto& step : steps_) step->apply(text);
  }
  bool treats_words_alone() const override {
    return std::all_of(steps_.begin(), steps_.end(),
                       [](const auto& step) { return step->treats_words_alone(); });
  }
  bool treats_punctuation_alone() const override {
    return std::all_of(steps_.begin(), steps_.end(),
                       [](const auto& step) { return step->treats_punctuation_alone(); });
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

void strip_accents(AlignedText& text) {
  filter(text, [](UChar32 code) { return had_category(code, U_GC_M_MASK, UnicodeVersion::k9); });
}

// SentencePiece's rules for machine translation: control characters out, separators are spaces.
void normalize_for_translation(AlignedText& text) {
  const auto is_dropped = [](UChar32 c) {
    return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
           c == 0x9F;
  };
  const auto is_separator = [](UChar32 c) {
    return c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
  };
  rewrite(text, [&](const Character& c, Rewriting& rewriting) {
    if (is_dropped(c.code)) return;
    if (is_separator(c.code)) {
      rewriting.replace(c.begin, c.end, " ");
    } else {
      rewriting.keep(c.begin, c.end);
    }
  });
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const CheckedJson& json) {
  const std::string type = json.at("type").text();
  if (type == "BertNormalizer") return std::make_unique<BertNormalizer>(json);
  if (type == "Sequence") return std::make_unique<Sequence>(json);
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    return std::make_unique<UnicodeForm>(type);
  }
  if (type == "Lowercase") return std::make_unique<Step>(make_lower_case);
  if (type == "StripAccents") return std::make_unique<Step>(strip_accents);
  if (type == "Nmt") return std::make_unique<Step>(normalize_for_translation);
  if (type == "Strip") return std::make_unique<Strip>(json);
  if (type == "Prepend") return std::make_unique<Prepend>(json);
  if (type == "Replace") return std::make_unique<Replace>(json);
  if (type == "Precompiled") return std::make_unique<Precompiled>(json);
  json.fail(fmt::format(
      "the normalizer \"{}\" is not supported. Supported are BertNormalizer, Lowercase, NFC, NFD, "
      "NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip and StripAccents.",
      type));
}

}  // namespace lowrank::text
