// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lowrank::data {

// "~", "~/", "${NAME}" and "${NAME:-default}" replaced by the environment's values. Throws Error
// naming a variable that is unset and has no default.
std::string expand_variables(std::string_view pattern);

// The files that the patterns name together, sorted, each once.
//
//   src/*.cpp       "*", "?" and "[a-z]" match within a name; names with a leading dot only match
//                   a pattern with one
//   src/**/*.cpp    "**" stands for any number of folders, hidden ones and links to folders left out
//   src, src*/      a folder without wildcards or with a trailing slash is read whole, as src/**
//   !src/old/**     what it matches is left out again; so is all below a folder that it matches
//   !*_test.cpp     without a slash it is matched against every name on a path
//
// A link that leads nowhere counts as a file, so that the reader can name it. `notes` gets a
// sentence for each pattern that matches nothing and each folder that cannot be read.
std::vector<std::string> find_files(const std::vector<std::string>& patterns,
                                    std::vector<std::string>& notes);

}  // namespace lowrank::data
