// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/answer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lowrank/serve/characters.h"

namespace lowrank::serve {
namespace {

constexpr int8_t kContext = 1;  // text::Encoded::texts of the pair's second text

// A token of the context: its bytes, and how likely an answer begins and ends with it.
struct Token {
  text::Span bytes;
  double first = 0, last = 0;
};

using Window = std::vector<Token>;

// With logarithms that are not normalized yet.
Window window_of(const text::Encoded& sequence, const at::Tensor& logits) {
  const at::Tensor rows = logits.contiguous();
  const double* row = rows.const_data_ptr<double>();
  Window window;
  for (size_t i = 0; i < sequence.ids.size(); ++i, row += 2) {
    if (sequence.texts[i] == kContext) window.push_back({sequence.spans[i], row[0], row[1]});
  }
  return window;
}

// The sequence's first token, which means "no answer".
Token none_of(const text::Encoded& sequence, const at::Tensor& logits, const std::string& source) {
  if (sequence.texts.at(0) != text::Encoded::kTemplate) {
    throw Error(
        fmt::format("{}: the sequence has no special token in front, by which a model says "
                    "that there is no answer. Ask without a threshold.",
                    source));
  }
  return {{0, 0}, logits[0][0].item<double>(), logits[0][1].item<double>()};
}

// That of the window where it is least likely: one window with an answer is enough.
Token least_none(const Reading& reading, const std::vector<at::Tensor>& logits) {
  Token least;
  for (size_t i = 0; i < logits.size(); ++i) {
    const Token none = none_of(reading.pieces.pieces[i].encoded, logits[i], reading.pieces.source);
    if (i == 0 || none.first + none.last < least.first + least.last) least = none;
  }
  return least;
}

// Softmax over the tokens of all windows.
void normalize(std::vector<Window>& windows, double Token::*value) {
  double most = -INFINITY, sum = 0;
  for (const Window& window : windows) {
    for (const Token& token : window) most = std::max(most, token.*value);
  }
  for (Window& window : windows) {
    for (Token& token : window) sum += token.*value = std::exp(token.*value - most);
  }
  for (Window& window : windows) {
    for (Token& token : window) token.*value /= sum;
  }
}

struct Candidate {
  text::Span bytes;
  double score;
};

std::vector<Candidate> candidates_of(const std::vector<Window>& windows, int64_t longest) {
  std::vector<Candidate> candidates;
  for (const Window& window : windows) {
    for (auto first = window.begin(); first != window.end(); ++first) {
      const auto end = first + std::min<std::ptrdiff_t>(longest, window.end() - first);
      for (auto last = first; last != end; ++last) {
        const text::Span bytes{first->bytes.begin, last->bytes.end};
        if (bytes.begin < bytes.end) candidates.push_back({bytes, first->first * last->last});
      }
    }
  }
  return candidates;
}

// Equal scores in the order of the text, so that answers hang on nothing else.
bool is_better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return std::pair(a.bytes.begin, a.bytes.end) < std::pair(b.bytes.begin, b.bytes.end);
}

std::vector<Candidate> best_distinct(std::vector<Candidate> candidates, int64_t top) {
  // A span is there once for each window that holds it, or for pieces that share their bytes.
  std::vector<Candidate> best;
  auto begin = candidates.begin();
  while (begin != candidates.end() && std::ssize(best) < top) {
    const auto sorted = begin + std::min<std::ptrdiff_t>(8 * top, candidates.end() - begin);
    std::partial_sort(begin, sorted, candidates.end(), is_better);
    for (; begin != sorted && std::ssize(best) < top; ++begin) {
      const auto same = [&](const Candidate& other) { return other.bytes == begin->bytes; };
      if (std::none_of(best.begin(), best.end(), same)) best.push_back(*begin);
    }
  }
  return best;
}

void add_none(std::vector<Answer>& answers, double score, const AnswerOptions& options) {
  auto place = answers.begin();
  const bool wins = answers.empty() || std::log(score) - std::log(answers.front().score) >
                                           options.no_answer_threshold.value();
  if (!wins) {
    place = std::find_if(answers.begin() + 1, answers.end(),
                         [&](const Answer& answer) { return answer.score < score; });
  }
  answers.insert(place, {.is_none = true, .score = score});
  if (std::ssize(answers) > options.top) answers.pop_back();
}

std::vector<Answer> answers_of(const Reading& reading, const std::vector<at::Tensor>& logits,
                               const AnswerOptions& options) {
  std::vector<Window> windows;
  for (size_t i = 0; i < logits.size(); ++i) {
    windows.push_back(window_of(reading.pieces.pieces[i].encoded, logits[i]));
  }
  if (options.no_answer_threshold) windows.push_back({least_none(reading, logits)});
  normalize(windows, &Token::first);
  normalize(windows, &Token::last);
  const std::string& context = reading.input.pair.value();
  const Characters characters(context);
  std::vector<Answer> answers;
  for (const Candidate& best :
       best_distinct(candidates_of(windows, options.longest), options.top)) {
    const auto begin = static_cast<size_t>(best.bytes.begin);
    answers.push_back({.bytes = best.bytes,
                       .characters = characters.of(best.bytes),
                       .text = context.substr(begin, static_cast<size_t>(best.bytes.end) - begin),
                       .score = best.score});
  }
  if (options.no_answer_threshold) {
    const Token& none = windows.back().front();
    add_none(answers, none.first * none.last, options);
  }
  return answers;
}

}  // namespace

Reading read_question(const TextModel& model, const std::string& question, const TextInput& context,
                      const PieceOptions& options) {
  if (context.text.empty()) {
    throw Error(fmt::format("{}: the context is empty; an answer is a part of it. Leave it out.",
                            context.source));
  }
  PieceOptions own = options;
  own.truncation = text::Truncation::kOnlySecond;
  const int64_t most = options.max_length > 0 ? options.max_length : model.max_length;
  const int64_t special = options.special_tokens ? text::special_count(*model.tokenizer, true) : 0;
  const int64_t room = most - special - std::ssize(model.tokenizer->encode(question));
  const bool cuts =
      options.on_overflow == Overflow::kTruncate || options.on_overflow == Overflow::kChunk;
  if (cuts && room < 1) {
    throw Error(fmt::format(
        "{}: the question has {} tokens, and a sequence at most {}, {} special ones among them; "
        "nothing is left for the context. Shorten the question.",
        context.source, most - special - room, most, special));
  }
  own.stride = std::clamp<int64_t>(room / 2, 0, options.stride);
  return read(model, {.text = question, .pair = context.text, .source = context.source}, own);
}

std::vector<std::vector<Answer>> answer(const TextModel& model,
                                        const std::vector<Reading>& readings,
                                        const AnswerOptions& options) {
  require_task(model, models::Task::kQuestionAnswering);
  const auto logits = logits_of(model, readings, options.run);
  std::vector<std::vector<Answer>> answers;
  for (size_t i = 0; i < readings.size(); ++i) {
    answers.push_back(answers_of(readings[i], logits[i], options));
  }
  return answers;
}

}  // namespace lowrank::serve
