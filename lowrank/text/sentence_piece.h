// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "lowrank/text/pipeline_tokenizer.h"
#include "lowrank/text/tokenizer.h"

namespace lowrank::text {

// A SentencePiece *.model, by libsentencepiece: text is normalized and spelled as the file says.
// Special tokens go around a text where the vocabulary has [CLS] and [SEP] (ALBERT), or after each
// where `ends_texts` (T5's </s>); ones that a text spells out are not found. Throws Error for a file
// that libsentencepiece cannot read.
std::shared_ptr<const Tokenizer> make_sentence_piece(const std::filesystem::path& path,
                                                     const RoleNames& names, bool ends_texts,
                                                     std::optional<int64_t> max_length);

}  // namespace lowrank::text
