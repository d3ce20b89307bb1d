// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/piece_model.h"

#include <fmt/format.h>

#include "lowrank/base/error.h"

namespace lowrank::text {
namespace {

// A word is its own piece.
class WordLevel final : public PieceModel {
 public:
  explicit WordLevel(const CheckedJson& json) : vocabulary_(read_vocabulary(json.at("vocab"))) {
    const std::string name = json.text_or("unk_token", "<unk>");
    unknown_ = vocabulary_.id(name);
    if (!unknown_) {
      json.fail(
          fmt::format("unk_token = \"{}\"; the vocabulary does not have it. Mend the file.", name));
    }
  }
  void spell(std::string_view word, std::vector<Piece>& pieces) const override {
    const int64_t id = vocabulary_.id(word).value_or(*unknown_);
    pieces.push_back({static_cast<int32_t>(id), 0, static_cast<uint32_t>(word.size())});
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::optional<int64_t> unknown() const override { return unknown_; }

 private:
  Vocabulary vocabulary_;
  std::optional<int64_t> unknown_;
};

// The type of a model, which older files do not say.
std::string type_of(const CheckedJson& json) {
  if (const auto type = json.find("type")) return type->text();
  if (json.find("merges")) return "BPE";
  if (json.find("unk_id")) return "Unigram";
  if (json.find("continuing_subword_prefix")) return "WordPiece";
  json.fail("\"type\" is missing. Mend the file.");
}

}  // namespace

void Vocabulary::add(std::string_view piece, int64_t id, const std::string& where) {
  if (id < 0 || id >= kMostIds) {
    throw Error(fmt::format("{}: the id of \"{}\" = {}; an id is from 0 to {}. Mend the file.",
                            where, piece, id, kMostIds - 1));
  }
  if (has(id)) {
    throw Error(fmt::format("{}: \"{}\" and \"{}\" have the id {}. Mend the file.", where,
                            this->piece(id), piece, id));
  }
  const auto [entry, is_new] = ids_.emplace(piece, static_cast<int32_t>(id));
  if (!is_new) {
    throw Error(fmt::format("{}: \"{}\" is there twice, as {} and {}. Mend the file.", where, piece,
                            entry->second, id));
  }
  if (id >= size()) {
    pieces_.resize(static_cast<size_t>(id) + 1);
    has_.resize(static_cast<size_t>(id) + 1);
  }
  pieces_[static_cast<size_t>(id)] = piece;
  has_[static_cast<size_t>(id)] = true;
}

std::optional<int64_t> Vocabulary::id(std::string_view piece) const {
  const auto found = ids_.find(piece);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::pair<std::string_view, int32_t>> Vocabulary::entries() const {
  std::vector<std::pair<std::string_view, int32_t>> all;
  for (int64_t id = 0; id < size(); ++id) {
    if (has(id)) all.emplace_back(piece(id), static_cast<int32_t>(id));
  }
  return all;
}

Vocabulary read_vocabulary(const CheckedJson& json) {
  Vocabulary vocabulary;
  for (const auto& [piece, id] : json.members()) {
    if (!id.is_number_integer()) {
      json.fail(fmt::format("the id of \"{}\" is no whole number. Mend the file.", piece));
    }
    vocabulary.add(piece, CheckedJson(id, json.place()).whole(), json.place());
  }
  if (vocabulary.size() == 0) json.fail("the vocabulary is empty. Mend the file.");
  return vocabulary;
}

std::unique_ptr<PieceModel> make_piece_model(const CheckedJson& json, bool byte_level) {
  const std::string type = type_of(json);
  if (type == "BPE") return make_byte_pair(json, byte_level);
  if (byte_level) {
    json.fail(
        fmt::format("a model \"{}\" after ByteLevel is not supported. It must be BPE.", type));
  }
  if (type == "WordPiece") return make_word_piece(json);
  if (type == "Unigram") return make_unigram(json);
  if (type == "WordLevel") return std::make_unique<WordLevel>(json);
  json.fail(
      fmt::format("the model \"{}\" is not supported. Supported are BPE, Unigram, WordLevel and "
                  "WordPiece.",
                  type));
}

}  // namespace lowrank::text
