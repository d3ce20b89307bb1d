// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <queue>

#include "lowrank/text/byte_level.h"
#include "lowrank/text/characters.h"
#include "lowrank/text/piece_model.h"

namespace lowrank::text {
namespace {

constexpr int32_t kNone = -1;

// Which pairs of pieces merge, in which order and into what: a hash table of open addresses.
class Merges {
 public:
  struct Merge {
    int32_t rank = kNone;  // lower first
    int32_t id = kNone;    // of what the two become
  };

  explicit Merges(size_t count = 0) {
    size_t size = 16;
    while (size < 2 * count) size *= 2;
    slots_.resize(size);
  }

  // False where the pair is there already.
  bool add(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[find_slot(key_of(left, right))];
    if (slot.merge.rank != kNone) return false;
    slot = {key_of(left, right), merge};
    return true;
  }
  // A rank of kNone: they do not merge.
  Merge find(int32_t left, int32_t right) const {
    return slots_[find_slot(key_of(left, right))].merge;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t find_slot(uint64_t key) const {
    uint64_t hash = key * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;
    size_t at = hash & (slots_.size() - 1);
    while (slots_[at].merge.rank != kNone && slots_[at].key != key) {
      at = (at + 1) & (slots_.size() - 1);
    }
    return at;
  }

  std::vector<Slot> slots_;
};

// Byte-pair encoding (Sennrich et al. 2016): of all neighbors that merge, those of the lowest rank do,
// the leftmost first, until none is left.
class BytePair final : public PieceModel {
 public:
  BytePair(const CheckedJson& json, bool byte_level)
      : byte_level_(byte_level),
        vocabulary_(read_vocabulary(json.at("vocab"))),
        prefix_(json.text_or("continuing_subword_prefix", "")),
        suffix_(json.text_or("end_of_word_suffix", "")),
        joins_unknown_(json.flag_or("fuse_unk", false)),
        whole_words_first_(json.flag_or("ignore_merges", false)) {
    if (const auto dropout = json.find("dropout"); dropout && dropout->number() != 0) {
      dropout->fail("dropout chooses merges at random, which is not supported. Set it to null.");
    }
    if (const auto name = json.find("unk_token")) {
      unknown_ = vocabulary_.id(name->text());
      if (!unknown_ && !name->text().empty()) {
        name->fail(fmt::format("\"{}\" is not in the vocabulary. Mend the file.", name->text()));
      }
    }
    if (json.flag_or("byte_fallback", false)) find_bytes();
    if (byte_level_) find_alphabet(json);
    read_merges(json.at("merges"));
  }

  void spell(std::string_view word, std::vector<Piece>& pieces) const override {
    if (whole_words_first_) {
      if (const auto id = id_of(word)) {
        pieces.push_back({static_cast<int32_t>(*id), 0, static_cast<uint32_t>(word.size())});
        return;
      }
    }
    const size_t before = pieces.size();
    if (byte_level_) {
      append_bytes(word, pieces);
    } else {
      append_characters(word, pieces);
    }
    merge(pieces, before);
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::optional<int64_t> unknown() const override { return unknown_; }

 private:
  static constexpr size_t kFew = 24;  // pieces; up to here a search beats a queue

  std::optional<int64_t> id_of(std::string_view word) const {
    return vocabulary_.id(byte_level_ ? piece_of_bytes(word) : std::string(word));
  }

  void find_bytes() {
    for (int byte = 0; byte < 256; ++byte) {
      const auto id = vocabulary_.id(fmt::format("<0x{:02X}>", byte));
      bytes_.push_back(id ? static_cast<int32_t>(*id) : kNone);
    }
  }

  // The piece of each byte. A byte without one would be lost.
  void find_alphabet(const CheckedJson& json) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string name = piece_of_bytes(std::string(1, static_cast<char>(byte)));
      const auto id = vocabulary_.id(name);
      if (!id && !unknown_) {
        json.fail(
            fmt::format("the vocabulary has neither a piece for the byte {:#04x} nor an unk_token. "
                        "Mend the file.",
                        byte));
      }
      alphabet_.push_back(static_cast<int32_t>(id ? *id : *unknown_));
    }
  }

  void read_merges(const CheckedJson& json) {
    if (!json.value().is_array()) json.fail("this must be a list. Mend the file.");
    merges_ = Merges(json.value().size());
    int32_t rank = 0;
    for (const nlohmann::json& entry : json.value()) {
      const auto place = [&] {
        return CheckedJson(entry, fmt::format("{}[{}]", json.place(), rank));
      };
      const auto [left, right] = pair_of(entry, place);
      const std::string whole = left + right.substr(std::min(prefix_.size(), right.size()));
      const Merges::Merge merge{rank, require_piece(whole, place)};
      if (!merges_.add(require_piece(left, place), require_piece(right, place), merge)) {
        place().fail(fmt::format("\"{}\" and \"{}\" merge twice. Mend the file.", left, right));
      }
      ++rank;
    }
  }

  template <class Place>
  int32_t require_piece(const std::string& piece, const Place& place) const {
    const auto id = vocabulary_.id(piece);
    if (!id) {
      place().fail(fmt::format(
          "this merge needs \"{}\", which the vocabulary does not have. Mend the files.", piece));
    }
    return static_cast<int32_t>(*id);
  }

  // "left right" or ["left", "right"].
  template <class Place>
  static std::pair<std::string, std::string> pair_of(const nlohmann::json& entry,
                                                     const Place& place) {
    if (entry.is_string()) {
      const auto& text = entry.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
        return {text.substr(0, space), text.substr(space + 1)};
      }
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
               entry[1].is_string()) {
      return {entry[0].get<std::string>(), entry[1].get<std::string>()};
    }
    place().fail("a merge is written \"left right\". Mend the file.");
  }

  void append_bytes(std::string_view word, std::vector<Piece>& pieces) const {
    for (uint32_t i = 0; i < word.size(); ++i) {
      pieces.push_back({alphabet_[static_cast<unsigned char>(word[i])], i, i + 1});
    }
  }

  void append_characters(std::string_view word, std::vector<Piece>& pieces) const {
    bool after_unknown = false;
    for_each_character(word, [&](const Character& c) {
      const std::string_view text = word.substr(c.begin, c.end - c.begin);
      std::string piece = c.begin == 0 ? std::string(text) : prefix_ + std::string(text);
      if (c.end == word.size()) piece += suffix_;
      const auto begin = static_cast<uint32_t>(c.begin), end = static_cast<uint32_t>(c.end);
      const auto id = vocabulary_.id(piece);
      if (id) {
        pieces.push_back({static_cast<int32_t>(*id), begin, end});
      } else if (!append_byte_pieces(text, begin, end, pieces) && unknown_) {
        if (after_unknown && joins_unknown_) {
          pieces.back().end = end;
        } else {
          pieces.push_back({static_cast<int32_t>(*unknown_), begin, end});
        }
        after_unknown = true;
        return;
      }
      after_unknown = false;
    });
  }

  bool append_byte_pieces(std::string_view text, uint32_t begin, uint32_t end,
                          std::vector<Piece>& pieces) const {
    const auto id = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
    if (bytes_.empty() ||
        std::any_of(text.begin(), text.end(), [&](char byte) { return id(byte) == kNone; })) {
      return false;
    }
    for (const char byte : text) pieces.push_back({id(byte), begin, end});
    return true;
  }

  void merge(std::vector<Piece>& pieces, size_t before) const {
    if (pieces.size() - before <= kFew) {
      merge_few(pieces, before);
    } else {
      merge_many(pieces, before);
    }
  }

  // Looks for the next merge among all neighbors.
  void merge_few(std::vector<Piece>& pieces, size_t before) const {
    while (pieces.size() - before > 1) {
      Merges::Merge best;
      size_t at = 0;
      for (size_t i = before; i + 1 < pieces.size(); ++i) {
        const Merges::Merge found = merges_.find(pieces[i].id, pieces[i + 1].id);
        if (found.rank == kNone || (best.rank != kNone && found.rank >= best.rank)) continue;
        best = found;
        at = i;
      }
      if (best.rank == kNone) return;
      pieces[at].id = best.id;
      pieces[at].end = pieces[at + 1].end;
      pieces.erase(pieces.begin() + static_cast<int64_t>(at) + 1);
    }
  }

  // Keeps the merges to come in a queue: n log n for a word of any length. Pieces are a linked list.
  void merge_many(std::vector<Piece>& pieces, size_t before) const {
    struct Link {
      int64_t previous, next;
      bool is_gone = false;
    };
    struct Candidate {
      int32_t rank, id;
      int64_t at;
      bool operator<(const Candidate& other) const {  // the queue's top is the largest
        return rank != other.rank ? rank > other.rank : at > other.at;
      }
    };
    Piece* const all = pieces.data() + before;
    const auto count = static_cast<int64_t>(pieces.size() - before);
    std::vector<Link> links;
    for (int64_t i = 0; i < count; ++i) links.push_back({i - 1, i + 1 < count ? i + 1 : kNone});
    const auto link = [&](int64_t at) -> Link& { return links[static_cast<size_t>(at)]; };
    std::priority_queue<Candidate> candidates;
    const auto offer = [&](int64_t at) {
      if (at == kNone || link(at).next == kNone) return;
      const Merges::Merge found = merges_.find(all[at].id, all[link(at).next].id);
      if (found.rank != kNone) candidates.push({found.rank, found.id, at});
    };
    for (int64_t i = 0; i < count; ++i) offer(i);
    while (!candidates.empty()) {
      const Candidate best = candidates.top();
      candidates.pop();
      if (link(best.at).is_gone || link(best.at).next == kNone) continue;
      const int64_t right = link(best.at).next;
      // The neighbors may be others by now than when this was queued.
      if (merges_.find(all[best.at].id, all[right].id).id != best.id) continue;
      all[best.at].id = best.id;
      all[best.at].end = all[right].end;
      link(right).is_gone = true;
      link(best.at).next = link(right).next;
      if (link(right).next != kNone) link(link(right).next).previous = best.at;
      offer(link(best.at).previous);
      offer(best.at);
    }
    size_t kept = before;
    for (int64_t i = 0; i < count; ++i) {
      if (!link(i).is_gone) pieces[kept++] = all[i];
    }
    pieces.resize(kept);
  }

  bool byte_level_;
  Vocabulary vocabulary_;
  std::string prefix_, suffix_;
  bool joins_unknown_, whole_words_first_;
  std::optional<int64_t> unknown_;
  std::vector<int32_t> bytes_;     // <0x00> to <0xFF>, with byte_fallback
  std::vector<int32_t> alphabet_;  // byte-level: the piece of each byte
  Merges merges_;
};

}  // namespace

std::unique_ptr<PieceModel> make_byte_pair(const CheckedJson& json, bool byte_level) {
  return std::make_unique<BytePair>(json, byte_level);
}

}  // namespace lowrank::text
