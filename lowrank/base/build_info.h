// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lowrank::build_info {

// Known when the tree was configured; see build_info.cpp.in.
extern const char* const kVersion;
extern const char* const kCommit;  // empty outside of a git checkout
extern const char* const kCompiler;
extern const char* const kBuildType;

}  // namespace lowrank::build_info
