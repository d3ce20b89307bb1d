// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/images.h"

#include <fmt/format.h>

#include "lowrank/base/error.h"
#include "lowrank/data/unpacked.h"

namespace lowrank::data {
namespace {

constexpr size_t kPixels = kImagePixels;
constexpr size_t kColorRecord = 1 + 3 * kPixels;
constexpr size_t kGrayRecord = 1 + kPixels;

size_t record_size(size_t bytes, const std::string& path) {
  const bool color = bytes > 0 && bytes % kColorRecord == 0;
  const bool gray = bytes > 0 && bytes % kGrayRecord == 0;
  if (color != gray) return color ? kColorRecord : kGrayRecord;
  throw Error(fmt::format(
      "{}: {} bytes; an image is a record of {} bytes in color or {} in gray, and {} fits. {}.",
      path, bytes, kColorRecord, kGrayRecord, color ? "each" : "neither",
      color ? "Split the file" : "Get the whole file, unpacked"));
}

std::string to_gray(std::string_view planes) {
  std::string gray(kPixels, '\0');
  const auto level = [&](size_t plane, size_t i) {
    return static_cast<double>(static_cast<uint8_t>(planes[plane * kPixels + i]));
  };
  for (size_t i = 0; i < kPixels; ++i) {
    const double luma = 0.299 * level(0, i) + 0.587 * level(1, i) + 0.114 * level(2, i);
    gray[i] = static_cast<char>(static_cast<uint8_t>(luma + 0.5));
  }
  return gray;
}

}  // namespace

std::string gray_record(const GrayImage& image, uint8_t label) {
  std::string record(1, static_cast<char>(label));
  record.append(image.begin(), image.end());
  return record;
}

std::vector<Row> read_image_rows(const std::string& path) {
  const std::string content = read_unpacked(path);
  const size_t size = record_size(content.size(), path);
  std::vector<Row> rows;
  rows.reserve(content.size() / size);
  for (size_t begin = 0; begin < content.size(); begin += size) {
    const std::string_view pixels = std::string_view(content).substr(begin + 1, size - 1);
    rows.push_back({.text = size == kColorRecord ? to_gray(pixels) : std::string(pixels),
                    .pair = {},
                    .label = fmt::format("{}", static_cast<uint8_t>(content[begin])),
                    .source = fmt::format("{}:{}", path, rows.size() + 1)});
  }
  return rows;
}

}  // namespace lowrank::data
