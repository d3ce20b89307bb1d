// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/tokenizer.h"

#include <fmt/format.h>

#include "lowrank/base/error.h"

namespace lowrank::text {

std::vector<int64_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> ids(text.size());
  for (size_t i = 0; i < text.size(); ++i) ids[i] = static_cast<unsigned char>(text[i]);
  return ids;
}

std::string ByteTokenizer::decode(std::span<const int64_t> ids) const {
  std::string text;
  text.reserve(ids.size());
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocabulary()) {
      throw Error(
          fmt::format("tokenizer \"bytes\": id = {}; an id is from 0 to {}. "
                      "Decode with the tokenizer that encoded.",
                      id, vocabulary() - 1));
    }
    if (id == cls()) {
      text += "[CLS]";
    } else if (id == separator()) {
      text += "[SEP]";
    } else if (id == mask()) {
      text += "[MASK]";
    } else {
      text += static_cast<char>(id);
    }
  }
  return text;
}

std::shared_ptr<const Tokenizer> make_tokenizer(const std::string& kind) {
  if (kind == "bytes") return std::make_shared<ByteTokenizer>();
  throw Error(fmt::format("tokenizer = \"{}\"; it must be bytes.", kind));
}

}  // namespace lowrank::text
