// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/learn_word_pieces.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "lowrank/base/error.h"
#include "lowrank/text/normalizer.h"
#include "lowrank/text/pre_tokenizer.h"
#include "lowrank/text/utf8.h"

namespace lowrank::text {
namespace {

constexpr size_t kLongestWord = 100;  // characters; BERT reads longer ones as [UNK]
constexpr std::string_view kBeginsWord = "\xE2\x96\x81";  // U+2581, SentencePiece's mark
constexpr const char* kContinues = "##";

using Counts = std::map<std::string, int64_t>;  // sorted: the result is the same everywhere

std::vector<std::string> characters_of(std::string_view word) {
  std::vector<std::string> characters;
  for (const char c : word) {
    const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (continues && !characters.empty()) {
      characters.back() += c;
    } else {
      characters.emplace_back(1, c);
    }
  }
  return characters;
}

// How often each of BERT's words occurs in the texts.
Counts count_words(const std::function<bool(std::string&)>& next, bool lowercase) {
  const nlohmann::json steps = {{"normalizer",
                                 {{"type", "BertNormalizer"},
                                  {"clean_text", true},
                                  {"handle_chinese_chars", true},
                                  {"lowercase", lowercase}}},
                                {"pre_tokenizer", {{"type", "BertPreTokenizer"}}}};
  const auto normalizer = make_normalizer(CheckedJson(steps["normalizer"], "normalizer"));
  const auto pre_tokenizer =
      make_pre_tokenizer(CheckedJson(steps["pre_tokenizer"], "pre_tokenizer"));
  std::unordered_map<std::string, int64_t> counts;
  for (std::string text; next(text);) {
    AlignedText normalized = well_formed(text);
    normalizer->apply(normalized);
    std::vector<AlignedText> words = {std::move(normalized)};
    pre_tokenizer->split(words);
    for (const AlignedText& word : words) {
      if (!word.empty()) ++counts[std::string(word.text())];
    }
  }
  return {counts.begin(), counts.end()};
}

// The most frequent characters.
std::set<std::string> alphabet_of(const Counts& words, int64_t most) {
  Counts counts;
  for (const auto& [word, count] : words) {
    for (const std::string& character : characters_of(word)) counts[character] += count;
  }
  std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  sorted.resize(std::min(sorted.size(), static_cast<size_t>(most)));
  std::set<std::string> alphabet;
  for (const auto& [character, count] : sorted) alphabet.insert(character);
  return alphabet;
}

// Words of known characters, each a line "word TAB count" as SentencePiece reads them.
class WordLines final : public sentencepiece::SentenceIterator {
 public:
  WordLines(const Counts& words, const std::set<std::string>& alphabet) {
    for (const auto& [word, count] : words) {
      const std::vector<std::string> characters = characters_of(word);
      const auto known = [&](const std::string& c) { return alphabet.contains(c); };
      if (characters.size() > kLongestWord ||
          !std::all_of(characters.begin(), characters.end(), known)) {
        continue;
      }
      lines_.push_back(fmt::format("{}\t{}", word, count));
    }
  }
  bool empty() const { return lines_.empty(); }
  bool done() const override { return at_ == lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::vector<std::string> lines_;
  size_t at_ = 0;
};

// The pieces that byte pair encoding finds, in SentencePiece's notation, the most frequent first.
std::vector<std::string> byte_pairs(WordLines& words, int64_t size) {
  std::string model;
  const auto status =
      sentencepiece::SentencePieceTrainer::Train({{"model_type", "bpe"},
                                                  {"vocab_size", std::to_string(size)},
                                                  {"hard_vocab_limit", "false"},
                                                  {"input_format", "tsv"},
                                                  {"normalization_rule_name", "identity"},
                                                  {"character_coverage", "1.0"},
                                                  {"split_by_unicode_script", "false"},
                                                  {"split_by_number", "false"},
                                                  {"bos_id", "-1"},
                                                  {"eos_id", "-1"},
                                                  {"num_threads", "1"},
                                                  {"minloglevel", "3"}},
                                                 &words, &model);
  sentencepiece::SentencePieceProcessor processor;
  if (!status.ok() || !processor.LoadFromSerializedProto(model).ok()) {
    throw Error(
        fmt::format("vocabulary: libsentencepiece gives up: {}. Give more text, or a "
                    "smaller size.",
                    status.ToString()));
  }
  std::vector<std::string> pieces;
  for (int i = 0; i < processor.GetPieceSize(); ++i) {
    if (!processor.IsUnknown(i)) pieces.push_back(processor.IdToPiece(i));
  }
  return pieces;
}

std::string as_word_piece(const std::string& piece) {
  return piece.starts_with(kBeginsWord) ? piece.substr(kBeginsWord.size()) : kContinues + piece;
}

// Every form in which a character occurs: as the first of a word, and within one.
std::set<std::string> single_pieces(const Counts& words, const std::set<std::string>& alphabet) {
  std::set<std::string> pieces;
  for (const auto& [word, count] : words) {
    std::string before;
    for (const std::string& character : characters_of(word)) {
      if (alphabet.contains(character)) pieces.insert(before + character);
      before = kContinues;
    }
  }
  return pieces;
}

}  // namespace

std::vector<std::string> learn_word_pieces(const std::function<bool(std::string&)>& next,
                                           const WordPieceOptions& options) {
  const Counts words = count_words(next, options.lowercase);
  const std::set<std::string> alphabet = alphabet_of(words, options.most_characters);
  WordLines lines(words, alphabet);
  if (lines.empty()) throw Error("vocabulary: the texts have no words. Give texts that have some.");

  std::vector<std::string> vocabulary = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  const std::set<std::string> singles = single_pieces(words, alphabet);
  vocabulary.insert(vocabulary.end(), singles.begin(), singles.end());
  if (std::ssize(vocabulary) > options.size) {
    throw Error(
        fmt::format("vocabulary: size = {}; special tokens and characters alone are {}. "
                    "Raise it.",
                    options.size, vocabulary.size()));
  }
  std::set<std::string> known(vocabulary.begin(), vocabulary.end());
  for (const std::string& piece : byte_pairs(lines, options.size)) {
    if (std::ssize(vocabulary) == options.size) break;
    const std::string word_piece = as_word_piece(piece);
    if (word_piece.empty() || !known.insert(word_piece).second) continue;
    vocabulary.push_back(word_piece);
  }
  return vocabulary;
}

}  // namespace lowrank::text
