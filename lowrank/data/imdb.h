// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "lowrank/data/rows.h"

namespace lowrank::data {

// The film reviews of Maas et al. 2011 in options.folder, of the classes neg and pos, in either form:
//
//   train.tsv, test.tsv     label (0: neg, 1: pos) TAB id TAB rating TAB text, no header; tabs of the text
//                           are its own. Either may be packed (.xz, .gz)
//   train/pos, train/neg,   a file a review, as published
//   test/pos, test/neg
//
// There is no validation set.
SplitRows read_imdb(const DataOptions& options, BadRows& bad, DataReport& report,
                    const std::function<void(int64_t, int64_t)>& progress);

}  // namespace lowrank::data
