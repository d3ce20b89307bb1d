// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <vector>

namespace lowrank::serve {

// A text that a model is to read.
struct TextInput {
  std::string text;
  std::optional<std::string> pair = std::nullopt;  // the second text, where there are two
  std::string source = "text";                     // for messages: "notes.txt", "notes.txt:7"
};

// What is a text of its own: a whole file, a line, or a line's JSON object.
enum class TextFormat { kWhole, kLines, kJsonLines };

struct ReadOptions {
  TextFormat format = TextFormat::kWhole;
  std::string text_key = "text";  // kJsonLines: the key of the text, a string
  std::string pair_key = "pair";  // and of the second one; absent or null: there is none
};

using TakeText = std::function<void(TextInput)>;
using Complain =
    std::function<void(const std::string& sentence)>;  // about one input; the next follow

// Hands over the texts of a stream in their order, one at a time: lines are not gathered. Lines are
// counted from 1; a byte order mark and CR LF are taken off; kJsonLines skips blank lines. What `take`
// throws goes through.
void read_texts(std::istream& stream, const std::string& name, const ReadOptions& options,
                const TakeText& take, const Complain& complain);

// The same of a file.
void read_texts(const std::filesystem::path& file, const ReadOptions& options, const TakeText& take,
                const Complain& complain);

// The files that `paths` name: files as they are, folders with all below them, sorted. In folders names
// with a leading dot are left out, and links to folders are not followed.
std::vector<std::filesystem::path> find_texts(const std::vector<std::string>& paths,
                                              const Complain& complain);

}  // namespace lowrank::serve
