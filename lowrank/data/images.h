// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lowrank/data/rows.h"

namespace lowrank::data {

inline constexpr int64_t kImageSide = 32;
inline constexpr int64_t kImagePixels = kImageSide * kImageSide;

// A gray image, row by row from the top left: a sequence of 1,024 bytes.
using GrayImage = std::array<uint8_t, kImagePixels>;

// An image and its label as a record of 1,025 bytes: the label, then the pixels.
std::string gray_record(const GrayImage& image, uint8_t label);

// The images of a file as rows whose text is the 1,024 pixels and whose label is the number of the record's
// first byte. Records follow one another without a header, and the file's size tells which they are:
//
//   3,073 bytes   CIFAR-10's binary version: the label, 1,024 red, 1,024 green and 1,024 blue bytes. Gray
//                 is 0.299 red + 0.587 green + 0.114 blue, rounded
//   1,025 bytes   gray_record()
//
// Throws Error for a file of another size, or of a size that both divide.
std::vector<Row> read_image_rows(const std::string& path);

}  // namespace lowrank::data
