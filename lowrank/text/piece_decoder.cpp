// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/piece_decoder.h"

#include <fmt/format.h>

#include <cctype>

#include "lowrank/text/byte_level.h"
#include "lowrank/text/pattern.h"
#include "lowrank/text/utf8.h"

namespace lowrank::text {
namespace {

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  if (what.empty()) return text;
  for (size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

// English as it is written: no space before marks and short forms.
std::string tidied(std::string text) {
  constexpr std::pair<const char*, const char*> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [what, with] : kRules) text = replaced(std::move(text), what, with);
  return text;
}

class WordPieceDecoder final : public PieceDecoder {
 public:
  explicit WordPieceDecoder(const CheckedJson& json)
      : prefix_(json.text_or("prefix", "##")), tidies_(json.flag_or("cleanup", true)) {}
  void apply(std::vector<std::string>& pieces) const override {
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0 && pieces[i].starts_with(prefix_)) {
        pieces[i].erase(0, prefix_.size());
      } else if (i > 0) {
        pieces[i].insert(0, 1, ' ');
      }
      if (tidies_) pieces[i] = tidied(std::move(pieces[i]));
    }
  }

 private:
  std::string prefix_;
  bool tidies_;
};

// A piece that is no bytes, such as an added token in another script, is written as it is.
class ByteLevelDecoder final : public PieceDecoder {
 public:
  void apply(std::vector<std::string>& pieces) const override {
    std::string text;
    for (const std::string& piece : pieces) text += bytes_of_piece(piece).value_or(piece);
    pieces = {std::move(text)};
  }
};

class MetaspaceDecoder final : public PieceDecoder {
 public:
  explicit MetaspaceDecoder(const CheckedJson& json)
      : replacement_(json.text_or("replacement", "\xE2\x96\x81")),
        prepends_(json.text_or("prepend_scheme",
                               json.flag_or("add_prefix_space", true) ? "always" : "never") !=
                  "never") {}
  void apply(std::vector<std::string>& pieces) const override {
    for (size_t i = 0; i < pieces.size(); ++i) {
      const bool drops = i == 0 && prepends_;
      pieces[i] = replaced(std::move(pieces[i]), replacement_, drops ? "" : " ");
    }
  }

 private:
  std::string replacement_;
  bool prepends_;
};

class SuffixDecoder final : public PieceDecoder {
 public:
  explicit SuffixDecoder(const CheckedJson& json) : suffix_(json.text_or("suffix", "</w>")) {}
  void apply(std::vector<std::string>& pieces) const override {
    for (size_t i = 0; i < pieces.size(); ++i) {
      pieces[i] = replaced(std::move(pieces[i]), suffix_, i + 1 == pieces.size() ? "" : " ");
    }
  }

 private:
  std::string suffix_;
};

class ReplaceDecoder final : public PieceDecoder {
 public:
  explicit ReplaceDecoder(const CheckedJson& json)
      : pattern_(json.at("pattern")), content_(json.at("content").text()) {}
  void apply(std::vector<std::string>& pieces) const override {
    for (std::string& piece : pieces) {
      std::string result;
      size_t done = 0;
      for (const Range& match : pattern_.matches(piece)) {
        result += piece.substr(done, match.begin - done) + content_;
        done = match.end;
      }
      piece = result + piece.substr(done);
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// The byte of "<0x41>", or -1.
int byte_of(const std::string& piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const int lower = std::tolower(static_cast<unsigned char>(c));
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  const int high = digit(piece[3]), low = digit(piece[4]);
  return high < 0 || low < 0 ? -1 : 16 * high + low;
}

// Bytes in a row are put together; where they are no UTF-8, each becomes U+FFFD.
class ByteFallbackDecoder final : public PieceDecoder {
 public:
  void apply(std::vector<std::string>& pieces) const override {
    std::vector<std::string> result;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (!find_invalid_utf8(bytes)) {
        result.push_back(bytes);
      } else {
        result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    for (std::string& piece : pieces) {
      if (const int byte = byte_of(piece); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        result.push_back(std::move(piece));
      }
    }
    flush();
    pieces = std::move(result);
  }
};

class FuseDecoder final : public PieceDecoder {
 public:
  void apply(std::vector<std::string>& pieces) const override {
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    pieces = {std::move(all)};
  }
};

class StripDecoder final : public PieceDecoder {
 public:
  explicit StripDecoder(const CheckedJson& json)
      : content_(json.at("content").text()),
        start_(json.at("start").whole(0, INT32_MAX)),
        stop_(json.at("stop").whole(0, INT32_MAX)) {
    if (content_.empty()) json.fail("\"content\" must be a character. Mend the file.");
  }
  void apply(std::vector<std::string>& pieces) const override {
    for (std::string& piece : pieces) {
      for (int64_t i = 0; i < start_ && piece.starts_with(content_); ++i) {
        piece.erase(0, content_.size());
      }
      for (int64_t i = 0; i < stop_ && piece.ends_with(content_); ++i) {
        piece.resize(piece.size() - content_.size());
      }
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class SequenceDecoder final : public PieceDecoder {
 public:
  explicit SequenceDecoder(const CheckedJson& json) {
    for (const CheckedJson& item : json.at("decoders").items()) {
      steps_.push_back(make_piece_decoder(item));
    }
  }
  void apply(std::vector<std::string>& pieces) const override {
    for (const auto& step : steps_) step->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<PieceDecoder>> steps_;
};

}  // namespace

std::unique_ptr<PieceDecoder> make_piece_decoder(const CheckedJson& json) {
  const std::string type = json.at("type").text();
  if (type == "WordPiece") return std::make_unique<WordPieceDecoder>(json);
  if (type == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  if (type == "Metaspace") return std::make_unique<MetaspaceDecoder>(json);
  if (type == "BPEDecoder") return std::make_unique<SuffixDecoder>(json);
  if (type == "Replace") return std::make_unique<ReplaceDecoder>(json);
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_unique<FuseDecoder>();
  if (type == "Strip") return std::make_unique<StripDecoder>(json);
  if (type == "Sequence") return std::make_unique<SequenceDecoder>(json);
  json.fail(fmt::format(
      "the decoder \"{}\" is not supported. Supported are BPEDecoder, ByteFallback, ByteLevel, "
      "Fuse, Metaspace, Replace, Sequence, Strip and WordPiece.",
      type));
}

}  // namespace lowrank::text
