// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/token_labels.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "lowrank/serve/characters.h"

namespace lowrank::serve {
namespace {

constexpr std::string_view kContinues = "##";  // how WordPiece writes a piece within a word

// A token of the text with its likeliest class.
struct Token {
  int64_t id = 0;
  text::Span bytes;
  int64_t label = 0;
  double probability = 0;
};

// Of one window, without special tokens.
std::vector<Token> tokens_of(const text::Encoded& window, const at::Tensor& logits) {
  const auto [probabilities, labels] = logits.softmax(1).max(1);
  std::vector<Token> tokens;
  for (size_t i = 0; i < window.ids.size(); ++i) {
    if (window.texts[i] == text::Encoded::kTemplate) continue;
    const auto row = static_cast<int64_t>(i);
    tokens.push_back({window.ids[i], window.spans[i], labels[row].item<int64_t>(),
                      probabilities[row].item<double>()});
  }
  return tokens;
}

// Puts windows that overlap by `stride` together: the first half of what two share is the former's.
std::vector<Token> joined(const std::vector<std::vector<Token>>& windows, int64_t stride) {
  std::vector<Token> tokens = windows.at(0);
  for (size_t i = 1; i < windows.size(); ++i) {
    tokens.resize(tokens.size() - static_cast<size_t>(stride - stride / 2));
    tokens.insert(tokens.end(), windows[i].begin() + stride / 2, windows[i].end());
  }
  return tokens;
}

bool separates(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isspace(byte) != 0 || std::ispunct(byte) != 0;
}

bool writes_continuations(const text::Tokenizer& tokenizer) {
  for (int64_t id = 0; id < tokenizer.vocabulary(); ++id) {
    const std::string token = tokenizer.token(id);
    if (token.size() > kContinues.size() && token.starts_with(kContinues)) return true;
  }
  return false;
}

// Makes spans of one text's tokens.
class Aggregator {
 public:
  Aggregator(const models::ModelConfig& config, const text::Tokenizer& tokenizer,
             bool continuations, const std::string& text)
      : classes_(config.classes),
        tokenizer_(tokenizer),
        continuations_(continuations),
        text_(text),
        characters_(text) {}

  std::vector<LabeledSpan> pieces(const std::vector<Token>& tokens) const {
    std::vector<LabeledSpan> spans;
    for (const Token& token : tokens) {
      spans.push_back(span(token.bytes, label(token), token.probability));
    }
    return spans;
  }

  std::vector<LabeledSpan> words(const std::vector<Token>& tokens) const {
    std::vector<Word> entities;
    bool after_other = true;  // whether the word before was left out
    for (const Token& word : whole_words(tokens)) {
      const std::string& name = label(word);
      const bool inside = name.starts_with("I-");
      const bool tagged = inside || name.starts_with("B-");
      const std::string entity = tagged ? name.substr(2) : name;
      if (name == "O") {
        after_other = true;
        continue;
      }
      if (inside && !after_other && entities.back().tagged && entities.back().label == entity) {
        entities.back().bytes.end = word.bytes.end;
        entities.back().sum += word.probability;
        ++entities.back().count;
      } else {
        entities.push_back({word.bytes, entity, tagged, word.probability, 1});
      }
      after_other = false;
    }
    std::vector<LabeledSpan> spans;
    for (const Word& entity : entities) {
      spans.push_back(span(entity.bytes, entity.label, entity.sum / entity.count));
    }
    return spans;
  }

 private:
  struct Word {
    text::Span bytes;
    std::string label;
    bool tagged;
    double sum, count;
  };

  const std::string& label(const Token& token) const {
    return classes_[static_cast<size_t>(token.label)];
  }

  LabeledSpan span(text::Span bytes, const std::string& label, double probability) const {
    const auto begin = static_cast<size_t>(bytes.begin);
    return {.bytes = bytes,
            .characters = characters_.of(bytes),
            .text = text_.substr(begin, static_cast<size_t>(bytes.end) - begin),
            .label = label,
            .probability = probability};
  }

  bool goes_on(const Token& before, const Token& token) const {
    if (before.bytes.begin == before.bytes.end || token.bytes.begin > before.bytes.end)
      return false;
    // Pieces of one character share its bytes.
    if (token.bytes.begin < before.bytes.end) return true;
    if (token.bytes.begin == token.bytes.end) return false;
    if (continuations_) return tokenizer_.token(token.id).starts_with(kContinues);
    return !separates(text_[static_cast<size_t>(token.bytes.begin)]) &&
           !separates(text_[static_cast<size_t>(before.bytes.end - 1)]);
  }

  // Tokens of a text's words, with the first piece's label. Spaces alone are no words.
  std::vector<Token> whole_words(const std::vector<Token>& tokens) const {
    std::vector<Token> words;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0 && !words.empty() && goes_on(tokens[i - 1], tokens[i])) {
        words.back().bytes.end = std::max(words.back().bytes.end, tokens[i].bytes.end);
      } else if (!is_blank(tokens[i].bytes)) {
        words.push_back(tokens[i]);
        while (is_space(words.back().bytes.begin)) ++words.back().bytes.begin;  // "_he" is " he"
      }
    }
    return words;
  }

  bool is_space(int64_t at) const {
    return std::isspace(static_cast<unsigned char>(text_[static_cast<size_t>(at)])) != 0;
  }

  bool is_blank(text::Span bytes) const {
    while (bytes.begin < bytes.end && is_space(bytes.begin)) ++bytes.begin;
    return bytes.begin == bytes.end;
  }

  const std::vector<std::string>& classes_;
  const text::Tokenizer& tokenizer_;
  const bool continuations_;
  const std::string& text_;
  const Characters characters_;
};

std::vector<Token> all_tokens(const Reading& reading, const std::vector<at::Tensor>& logits) {
  std::vector<std::vector<Token>> windows;
  for (size_t i = 0; i < logits.size(); ++i) {
    windows.push_back(tokens_of(reading.pieces.pieces[i].encoded, logits[i]));
  }
  return joined(windows, reading.stride);
}

}  // namespace

Aggregate aggregate_of(const std::string& name) {
  if (name == "none") return Aggregate::kNone;
  if (name == "first") return Aggregate::kFirst;
  throw Error(
      fmt::format("aggregate = \"{}\"; it must be none or first. Choose one of them.", name));
}

std::vector<std::vector<LabeledSpan>> label_tokens(const TextModel& model,
                                                   const std::vector<Reading>& readings,
                                                   Aggregate aggregate, const RunOptions& options) {
  require_task(model, models::Task::kTokenClassification);
  for (const Reading& reading : readings) {
    if (!reading.input.pair) continue;
    throw Error(fmt::format("{}: it is a pair; a token classifier reads one text. Leave one out.",
                            reading.input.source));
  }
  const auto logits = logits_of(model, readings, options);
  const bool continuations = writes_continuations(*model.tokenizer);
  std::vector<std::vector<LabeledSpan>> labelled;
  for (size_t i = 0; i < readings.size(); ++i) {
    const Aggregator aggregator(model.model->config(), *model.tokenizer, continuations,
                                readings[i].input.text);
    const std::vector<Token> tokens = all_tokens(readings[i], logits[i]);
    labelled.push_back(aggregate == Aggregate::kNone ? aggregator.pieces(tokens)
                                                     : aggregator.words(tokens));
  }
  return labelled;
}

}  // namespace lowrank::serve
