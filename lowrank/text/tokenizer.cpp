// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/tokenizer.h"

#include <fmt/format.h>

#include <array>
#include <numeric>

#include "lowrank/base/error.h"
#include "lowrank/text/tokenizer_files.h"
#include "lowrank/text/word_list.h"

namespace lowrank::text {
namespace {

constexpr int64_t kBytes = 256;
constexpr std::array<std::string_view, 3> kNames = {"[CLS]", "[SEP]", "[MASK]"};  // 256 and on

}  // namespace

const SequenceTemplate& ByteTokenizer::sequence_template() const {
  using Part = SequenceTemplate::Part;
  static const SequenceTemplate kTemplate = {
      .single = {{.part = Part::kSpecial, .id = 256},
                 {.part = Part::kFirst},
                 {.part = Part::kSpecial, .id = 257}},
      .pair = {{.part = Part::kSpecial, .id = 256},
               {.part = Part::kFirst},
               {.part = Part::kSpecial, .id = 257},
               {.part = Part::kSecond, .segment = 1},
               {.part = Part::kSpecial, .id = 257, .segment = 1}}};
  return kTemplate;
}

std::string ByteTokenizer::token(int64_t id) const {
  if (id < 0 || id >= vocabulary()) {
    throw Error(
        fmt::format("tokenizer \"bytes\": id = {}; an id is from 0 to {}. "
                    "Decode with the tokenizer that encoded.",
                    id, vocabulary() - 1));
  }
  if (id < kBytes) return std::string(1, static_cast<char>(id));
  return std::string(kNames[static_cast<size_t>(id - kBytes)]);
}

std::optional<int64_t> ByteTokenizer::id(std::string_view token) const {
  if (token.size() == 1) return static_cast<unsigned char>(token[0]);
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (token == kNames[i]) return kBytes + static_cast<int64_t>(i);
  }
  return std::nullopt;
}

std::vector<int64_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> ids(text.size());
  for (size_t i = 0; i < text.size(); ++i) ids[i] = static_cast<unsigned char>(text[i]);
  return ids;
}

Tokens ByteTokenizer::encode_with_spans(std::string_view text) const {
  Tokens tokens{.ids = encode(text), .spans = {}};
  tokens.spans.reserve(text.size());
  for (int64_t i = 0; i < std::ssize(text); ++i) tokens.spans.push_back({i, i + 1});
  return tokens;
}

std::string ByteTokenizer::decode(std::span<const int64_t> ids, bool skip_special) const {
  std::string text;
  text.reserve(ids.size());
  for (const int64_t id : ids) {
    if (id >= 0 && id < kBytes) {
      text += static_cast<char>(id);
    } else {
      const std::string name = token(id);
      if (!skip_special) text += name;
    }
  }
  return text;
}

std::shared_ptr<const Tokenizer> make_tokenizer(const std::string& kind,
                                                const std::filesystem::path& folder) {
  if (kind == "bytes") return std::make_shared<ByteTokenizer>();
  if (kind == "listops") return make_listops_tokenizer();
  if (kind == "files") {
    if (folder.empty()) {
      throw Error(
          "tokenizer = \"files\"; these lie beside a model's config.json. Name their folder "
          "instead.");
    }
    return load_tokenizer(folder);
  }
  if (std::filesystem::is_directory(kind)) return load_tokenizer(kind);
  throw Error(
      fmt::format("tokenizer = \"{}\"; it must be bytes, listops, files, or a folder that holds a "
                  "tokenizer's files.",
                  kind));
}

}  // namespace lowrank::text
