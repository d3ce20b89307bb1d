// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/pattern.h"

#include <fmt/format.h>
#include <unicode/regex.h>
#include <unicode/utext.h>

#include "lowrank/base/error.h"

namespace lowrank::text {
namespace {

// What \s and \w mean to Oniguruma, which these expressions were written for, and not to ICU: Unicode's
// White_Space, and word characters without joiners but with the numbers of Latin-1.
std::string for_icu(const std::string& expression) {
  constexpr std::string_view kWord =
      R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u00B2\u00B3\u00B9\u00BC-\u00BE])";
  std::string result;
  for (size_t i = 0; i < expression.size(); ++i) {
    if (expression[i] != '\\' || i + 1 == expression.size()) {
      result += expression[i];
      continue;
    }
    const char escaped = expression[++i];
    if (escaped == 's') {
      result += R"(\p{White_Space})";
    } else if (escaped == 'S') {
      result += R"(\P{White_Space})";
    } else if (escaped == 'w') {
      result += fmt::format("[{}", kWord);
    } else if (escaped == 'W') {
      result += fmt::format("[^{}", kWord);
    } else {
      result += {'\\', escaped};
    }
  }
  return result;
}

std::vector<Range> matches_of_string(std::string_view text, const std::string& wanted) {
  std::vector<Range> found;
  if (wanted.empty()) return found;
  for (size_t at = text.find(wanted); at != std::string_view::npos;
       at = text.find(wanted, at + wanted.size())) {
    found.push_back({at, at + wanted.size()});
  }
  return found;
}

}  // namespace

struct Pattern::Compiled {
  std::unique_ptr<icu::RegexPattern> expression;
};

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;

Pattern::Pattern(const CheckedJson& json) {
  if (json.value().is_string()) {
    source_ = json.text();
    return;
  }
  if (const auto string = json.find("String")) {
    source_ = string->text();
    return;
  }
  source_ = json.at("Regex").text();
  UErrorCode status = U_ZERO_ERROR;
  UParseError where{};
  compiled_ = std::make_unique<Compiled>();
  compiled_->expression.reset(
      icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(for_icu(source_)), 0, where, status));
  if (U_FAILURE(status)) {
    json.fail(fmt::format("the regular expression is not understood ({}). Mend the file.",
                          u_errorName(status)));
  }
}

std::vector<Range> Pattern::matches(std::string_view text) const {
  if (!compiled_) return matches_of_string(text, source_);
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UText, decltype(&utext_close)> utf8(
      utext_openUTF8(nullptr, text.data(), static_cast<int64_t>(text.size()), &status),
      &utext_close);
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->expression->matcher(status));
  constexpr int32_t kMostTime =
      5000;  // of one match, about milliseconds: some expressions never end
  if (U_SUCCESS(status)) matcher->setTimeLimit(kMostTime, status);
  if (U_SUCCESS(status)) matcher->setStackLimit(0, status);  // a long run of spaces needs more
  if (U_SUCCESS(status)) matcher->reset(utf8.get());
  std::vector<Range> found;
  while (U_SUCCESS(status) && matcher->find(status)) {
    const auto begin = static_cast<size_t>(matcher->start64(status));
    const auto end = static_cast<size_t>(matcher->end64(status));
    if (begin < end) found.push_back({begin, end});
  }
  if (U_FAILURE(status)) {
    throw Error(
        fmt::format("tokenizer: the regular expression {} failed ({}). Use a simpler "
                    "expression.",
                    source_, u_errorName(status)));
  }
  return found;
}

}  // namespace lowrank::text
