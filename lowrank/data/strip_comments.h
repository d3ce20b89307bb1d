// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace lowrank::data {

// `text` from its first line of code on: without the comments, shebang, docstrings and POD that it
// begins with, in the language that the name of `path` (or else a shebang or the first comment)
// tells. Text of an unknown language only loses leading white space. The result is a part of `text`.
std::string_view strip_leading_comments(std::string_view text, const std::string& path);

}  // namespace lowrank::data
