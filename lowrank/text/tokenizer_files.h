// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "lowrank/text/tokenizer.h"

namespace lowrank::text {

// The tokenizer whose files lie in `folder`, as Hugging Face models have them. The first of these
// that is there decides:
//
//   tokenizer.json              what it says, except truncation and padding, which are left to callers
//   vocab.txt                   WordPiece as BERT has it
//   vocab.json and merges.txt   byte-level BPE: RoBERTa's where the vocabulary has <s> and </s>, else
//                               GPT-2's
//   *.model                     SentencePiece, by libsentencepiece
//   *.vocab                     a line "piece TAB score" each: Unigram with ALBERT's normalization
//
// tokenizer_config.json and special_tokens_map.json, where they are, give do_lower_case,
// strip_accents, tokenize_chinese_chars, add_prefix_space, model_max_length, and which tokens have a
// role. Its kind() is "files".
//
// Bytes that are no UTF-8 are tokens like any others of a byte-level tokenizer. The others read each
// ill-formed sequence as U+FFFD, as Python's errors="replace" does: BERT leaves that character out,
// most vocabularies have no piece for it and give the unknown token, whose span is the ill-formed
// bytes.
//
// Throws Error naming the file for a folder without any of these, for a file that is broken, and for a
// component of tokenizer.json that is not supported.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& folder);

// Copies the tokenizer's files from one folder to another, byte for byte: those named above and
// added_tokens.json. Throws Error where `from` has none of them.
void copy_tokenizer_files(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace lowrank::text
