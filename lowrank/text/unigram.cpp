// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowrank/text/byte_trie.h"
#include "lowrank/text/characters.h"
#include "lowrank/text/piece_model.h"

namespace lowrank::text {
namespace {

// SentencePiece's: the spelling of the highest sum of scores (Viterbi), where a character that is no
// piece counts as unknown, below the worst piece. Unknown characters in a row are one piece.
class Unigram final : public PieceModel {
 public:
  explicit Unigram(const CheckedJson& json) {
    const CheckedJson vocabulary = json.at("vocab");
    for (const CheckedJson& entry : vocabulary.items()) add(entry);
    if (scores_.empty()) vocabulary.fail("the vocabulary is empty. Mend the file.");
    if (const auto unknown = json.find("unk_id")) {
      unknown_ = unknown->whole(0, vocabulary_.size() - 1);
    }
    lowest_ = *std::min_element(scores_.begin(), scores_.end());
    if (json.flag_or("byte_fallback", false)) find_bytes();
    if (!unknown_ && (bytes_.empty() || std::count(bytes_.begin(), bytes_.end(), kUnknown) > 0)) {
      json.fail("there is neither an unk_id nor a piece for each byte. Mend the file.");
    }
    std::vector<std::pair<std::string_view, int32_t>> entries;
    for (const auto& entry : vocabulary_.entries()) {
      if (!entry.first.empty()) entries.push_back(entry);
    }
    trie_ = ByteTrie(std::move(entries));
  }

  void spell(std::string_view word, std::vector<Piece>& pieces) const override {
    thread_local std::vector<Step> kept;  // between words, unless one is very long
    std::vector<Step> own;
    std::vector<Step>& steps = word.size() <= kLongKept ? kept : own;
    find_steps(word, steps);
    const size_t before = pieces.size();
    for (auto end = static_cast<uint32_t>(word.size()); end > 0;) {
      const Step& step = steps[end];
      const bool joins = step.id == kUnknown && pieces.size() > before &&
                         pieces.back().id == kUnknown && pieces.back().begin == end;
      if (joins) {
        pieces.back().begin = step.begin;
      } else {
        pieces.push_back({step.id, step.begin, end});
      }
      end = step.begin;
    }
    std::reverse(pieces.begin() + static_cast<int64_t>(before), pieces.end());
    resolve_unknown(word, pieces, before);
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::optional<int64_t> unknown() const override { return unknown_; }

 private:
  static constexpr int32_t kUnknown = -1;
  static constexpr double kUnknownPenalty = 10;
  static constexpr size_t kLongKept = 4096;

  // The best way to spell a word up to some byte: its last piece.
  struct Step {
    double score = -std::numeric_limits<double>::infinity();
    int32_t id = kUnknown;
    uint32_t begin = 0;
  };

  void add(const CheckedJson& entry) {
    if (!entry.value().is_array() || entry.value().size() != 2 || !entry.value()[0].is_string() ||
        !entry.value()[1].is_number()) {
      entry.fail("a piece is written [\"text\", score]. Mend the file.");
    }
    const double score = entry.value()[1].get<double>();
    if (!std::isfinite(score)) entry.fail("a score must be a finite number. Mend the file.");
    vocabulary_.add(entry.value()[0].get_ref<const std::string&>(), vocabulary_.size(),
                    entry.place());
    scores_.push_back(score);
  }

  // <0x00> to <0xFF>, which spell what no other piece does; all of them or none.
  void find_bytes() {
    for (int byte = 0; byte < 256; ++byte) {
      const auto id = vocabulary_.id(fmt::format("<0x{:02X}>", byte));
      bytes_.push_back(id ? static_cast<int32_t>(*id) : kUnknown);
    }
  }

  void find_steps(std::string_view word, std::vector<Step>& steps) const {
    const double of_unknown = lowest_ - kUnknownPenalty;
    steps.assign(word.size() + 1, Step{});
    steps[0].score = 0;
    for (size_t begin = 0; begin < word.size();) {
      const size_t next = character_at(word, begin).end;
      const double so_far = steps[begin].score;
      const auto offer = [&](size_t end, double score, int32_t id) {
        if (so_far + score > steps[end].score) {
          steps[end] = {so_far + score, id, static_cast<uint32_t>(begin)};
        }
      };
      bool has_single = false;
      int32_t node = ByteTrie::kRoot;
      for (size_t i = begin; i < word.size(); ++i) {
        node = trie_.child(node, word[i]);
        if (node == ByteTrie::kNone) break;
        const int32_t id = trie_.value(node);
        if (id == ByteTrie::kNone) continue;
        const bool is_unknown = unknown_ && id == *unknown_;
        offer(i + 1, scores_[static_cast<size_t>(id)], is_unknown ? kUnknown : id);
        has_single |= i + 1 == next;
      }
      if (!has_single) offer(next, of_unknown, kUnknown);
      begin = next;
    }
  }

  // Joined unknown characters may spell a piece after all; else they are bytes or the unknown piece.
  void resolve_unknown(std::string_view word, std::vector<Piece>& pieces, size_t before) const {
    const auto is_unknown = [](const Piece& piece) { return piece.id == kUnknown; };
    const auto begin = pieces.begin() + static_cast<int64_t>(before);
    if (std::none_of(begin, pieces.end(), is_unknown)) return;
    const std::vector<Piece> found(begin, pieces.end());
    pieces.resize(before);
    for (const Piece& piece : found) {
      if (!is_unknown(piece)) {
        pieces.push_back(piece);
        continue;
      }
      const std::string_view text = word.substr(piece.begin, piece.end - piece.begin);
      if (const auto id = vocabulary_.id(text)) {
        pieces.push_back({static_cast<int32_t>(*id), piece.begin, piece.end});
      } else if (!spell_bytes(text, piece, pieces)) {
        pieces.push_back({static_cast<int32_t>(unknown_.value()), piece.begin, piece.end});
      }
    }
  }

  bool spell_bytes(std::string_view text, const Piece& whole, std::vector<Piece>& pieces) const {
    const auto id_of = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
    if (bytes_.empty() ||
        std::any_of(text.begin(), text.end(), [&](char c) { return id_of(c) == kUnknown; })) {
      return false;
    }
    for (const char byte : text) pieces.push_back({id_of(byte), whole.begin, whole.end});
    return true;
  }

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  double lowest_ = 0;
  ByteTrie trie_;
  std::vector<int32_t> bytes_;
  std::optional<int64_t> unknown_;
};

}  // namespace

std::unique_ptr<PieceModel> make_unigram(const CheckedJson& json) {
  return std::make_unique<Unigram>(json);
}

}  // namespace lowrank::text
