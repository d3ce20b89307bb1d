// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/sentence_piece.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"

namespace lowrank::text {
namespace {

using Part = SequenceTemplate::Part;

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::filesystem::path& path, const RoleNames& names, bool ends_texts,
                         std::optional<int64_t> max_length)
      : max_length_(max_length) {
    const auto status = processor_.LoadFromSerializedProto(read_file(path));
    if (!status.ok() || processor_.GetPieceSize() == 0) {
      throw Error(fmt::format("{}: libsentencepiece cannot read it. The file may be incomplete.",
                              path.string()));
    }
    cls_ = id(names.cls.value_or("[CLS]"));
    separator_ = id(names.separator.value_or("[SEP]"));
    mask_ = id(names.mask.value_or("[MASK]"));
    pad_ = id(names.pad.value_or("<pad>"));
    if (processor_.unk_id() >= 0) unknown_ = processor_.unk_id();
    const auto end = id("</s>");
    if (ends_texts && end) separator_ = end;
    make_template(ends_texts && end);
  }

  std::string kind() const override { return "files"; }
  int64_t vocabulary() const override { return processor_.GetPieceSize(); }
  std::optional<int64_t> cls() const override { return cls_; }
  std::optional<int64_t> separator() const override { return separator_; }
  std::optional<int64_t> mask() const override { return mask_; }
  std::optional<int64_t> pad() const override { return pad_; }
  std::optional<int64_t> unknown() const override { return unknown_; }
  bool is_special(int64_t id) const override {
    if (id < 0 || id >= vocabulary()) return false;
    return is_control(id) || id == unknown_ || id == cls_ || id == separator_ || id == mask_ ||
           id == pad_;
  }
  const SequenceTemplate& sequence_template() const override { return template_; }
  std::optional<int64_t> max_length() const override { return max_length_; }

  std::string token(int64_t id) const override {
    if (id < 0 || id >= vocabulary()) {
      throw Error(
          fmt::format("tokenizer: id = {}; an id is from 0 to {}. Decode with the tokenizer that "
                      "encoded.",
                      id, vocabulary() - 1));
    }
    return processor_.IdToPiece(static_cast<int>(id));
  }
  std::optional<int64_t> id(std::string_view token) const override {
    // An unknown piece has the id of the unknown token.
    const int id = processor_.PieceToId({token.data(), token.size()});
    if (id < 0 || processor_.IdToPiece(id) != token) return std::nullopt;
    return id;
  }

  std::vector<int64_t> encode(std::string_view text) const override {
    return encode_with_spans(text).ids;
  }
  Tokens encode_with_spans(std::string_view text) const override {
    const AlignedText mended = well_formed(text);
    const std::string_view whole = mended.text();
    const auto pieces = processor_.EncodeAsImmutableProto({whole.data(), whole.size()});
    Tokens tokens;
    tokens.ids.reserve(pieces.pieces_size());
    tokens.spans.reserve(pieces.pieces_size());
    for (const auto& piece : pieces.pieces()) {
      tokens.ids.push_back(piece.id());
      tokens.spans.push_back(mended.origin(piece.begin(), piece.end()));
    }
    return tokens;
  }

  std::string decode(std::span<const int64_t> ids, bool skip_special) const override {
    std::string text;
    std::vector<int> run;
    const auto flush = [&] {
      if (!run.empty()) text += processor_.DecodeIds(run);
      run.clear();
    };
    for (const int64_t id : ids) {
      const std::string piece = token(id);
      if (!is_control(id)) {
        run.push_back(static_cast<int>(id));
      } else if (!skip_special) {
        flush();
        text += piece;
      }
    }
    flush();
    return text;
  }

 private:
  bool is_control(int64_t id) const { return processor_.IsControl(static_cast<int>(id)); }

  void make_template(bool ends_texts) {
    const auto special = [](int64_t id, int64_t segment) {
      return SequenceTemplate::Place{.part = Part::kSpecial, .id = id, .segment = segment};
    };
    const SequenceTemplate::Place first{.part = Part::kFirst}, second{.part = Part::kSecond};
    if (ends_texts) {
      const auto end = special(*separator_, 0);
      template_ = {.single = {first, end}, .pair = {first, end, second, end}};
    } else if (cls_ && separator_) {
      template_ = {.single = {special(*cls_, 0), first, special(*separator_, 0)},
                   .pair = {special(*cls_, 0),
                            first,
                            special(*separator_, 0),
                            {.part = Part::kSecond, .segment = 1},
                            special(*separator_, 1)}};
    }
  }

  sentencepiece::SentencePieceProcessor processor_;
  SequenceTemplate template_;
  std::optional<int64_t> cls_, separator_, mask_, pad_, unknown_, max_length_;
};

}  // namespace

std::shared_ptr<const Tokenizer> make_sentence_piece(const std::filesystem::path& path,
                                                     const RoleNames& names, bool ends_texts,
                                                     std::optional<int64_t> max_length) {
  return std::make_shared<SentencePieceTokenizer>(path, names, ends_texts, max_length);
}

}  // namespace lowrank::text
