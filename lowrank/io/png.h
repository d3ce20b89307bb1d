// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace lowrank::io {

// The bytes of a PNG file of a gray picture, row by row from the top left, `width` pixels each. Pixels
// are stored as they are: a picture takes as many bytes as it has pixels and some. Throws Error unless
// the pixels are whole rows.
std::string gray_png(std::span<const uint8_t> pixels, int64_t width);

}  // namespace lowrank::io
