// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "lowrank/data/rows.h"

namespace lowrank::data {

// The rows without those that repeat an earlier one that stays: the same text and pair, or shingles
// whose Jaccard similarity is above `threshold`. Labels do not matter.
std::vector<Row> drop_duplicates(std::vector<Row> rows, double threshold, DataReport& report);

// XXH64 of each row's text and pair.
std::vector<uint64_t> content_hashes(const std::vector<Row>& rows);

// For each row the content hash of the first, in the order of texts, among the rows that are equal or
// near to it, directly or through others: rows that belong together share it.
std::vector<uint64_t> group_hashes(const std::vector<Row>& rows, double threshold);

}  // namespace lowrank::data
