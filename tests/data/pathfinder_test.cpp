// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/pathfinder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lowrank/base/error.h"

namespace lowrank::data {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

double distance(const Pixel& a, const Pixel& b) {
  return std::hypot(static_cast<double>(a.y - b.y), static_cast<double>(a.x - b.x));
}

uint8_t at(const GrayImage& image, const Pixel& place) {
  return image[static_cast<size_t>(place.y * kImageSide + place.x)];
}

class Pathfinder : public ::testing::TestWithParam<int64_t> {
 protected:
  // Images with markers on one path and on two, in turn.
  std::vector<PathfinderImage> draw(int count, uint64_t seed = 3) const {
    PathfinderGenerator generator({.contour_length = GetParam()});
    Random random({seed});
    std::vector<PathfinderImage> images;
    for (int i = 0; i < count; ++i) images.push_back(generator.draw(i % 2 == 0, random));
    return images;
  }
};

INSTANTIATE_TEST_SUITE_P(Lengths, Pathfinder, ::testing::Values(6, 9, 14));

TEST_P(Pathfinder, HasBothMarkersOnOnePathWhereTheyAreConnectedAndElseOnTwo) {
  for (const PathfinderImage& image : draw(40)) {
    const auto begins = [&](size_t path) { return image.markers[0] == image.paths[path].front(); };
    const auto ends = [&](size_t path) { return image.markers[1] == image.paths[path].back(); };
    const size_t from = begins(0) ? 0 : 1;
    EXPECT_TRUE(begins(from));
    EXPECT_EQ(ends(from), image.connected);
    EXPECT_EQ(ends(1 - from), !image.connected);
  }
}

TEST_P(Pathfinder, HasTwoLongPathsThatGoOnAndDoNotMeet) {
  for (const PathfinderImage& image : draw(40)) {
    EXPECT_NEAR(distance(image.paths[0].front(), image.paths[1].front()), 7, 1);
    for (const std::vector<Pixel>& path : image.paths) {
      EXPECT_EQ(std::ssize(path), GetParam() + 1);
      for (size_t i = 2; i < path.size(); ++i) {  // a dash and the gap before it
        EXPECT_GE(distance(path[i - 1], path[i]), 1);
        EXPECT_LE(distance(path[i - 1], path[i]), 6);
      }
    }
    for (const Pixel& a : image.paths[0]) {
      for (const Pixel& b : image.paths[1]) EXPECT_GT(distance(a, b), 1);
    }
  }
}

TEST_P(Pathfinder, DrawsItsPathsAndMarkersBrightOnBlack) {
  for (const PathfinderImage& image : draw(40)) {
    EXPECT_EQ(*std::max_element(image.pixels.begin(), image.pixels.end()), 255);
    EXPECT_GT(std::count(image.pixels.begin(), image.pixels.end(), 0), 200);
    for (const std::vector<Pixel>& path : image.paths) {
      for (const Pixel& end : path) EXPECT_GT(at(image.pixels, end), 20);
    }
    for (const Pixel& marker : image.markers) {
      for (const Pixel& step :
           {Pixel{0, 0}, Pixel{0, 1}, Pixel{1, 0}, Pixel{0, -1}, Pixel{-1, 0}}) {
        const Pixel place{marker.y + step.y, marker.x + step.x};
        if (place.y < 0 || place.x < 0 || place.y >= kImageSide || place.x >= kImageSide) continue;
        EXPECT_GT(at(image.pixels, place), 100);
      }
    }
  }
}

// Whoever looks at the brightness alone must not know the answer.
TEST_P(Pathfinder, IsAsBrightWithMarkersOnOnePathAsOnTwo) {
  double sums[2] = {0, 0}, squares = 0;
  constexpr int kCount = 400;
  for (const PathfinderImage& image : draw(kCount)) {
    double mean = 0;
    for (const uint8_t pixel : image.pixels) mean += pixel / 1024.0;
    sums[image.connected ? 1 : 0] += mean;
    squares += mean * mean;
  }
  const double half = kCount / 2.0, mean = (sums[0] + sums[1]) / kCount;
  const double deviation = std::sqrt(squares / kCount - mean * mean);
  EXPECT_NEAR(sums[0] / half, sums[1] / half, 5 * deviation * std::sqrt(2 / half));
}

TEST_P(Pathfinder, IsTheSameForTheSameSeedAndAnotherForAnother) {
  EXPECT_EQ(draw(3, 1)[2].pixels, draw(3, 1)[2].pixels);
  EXPECT_NE(draw(3, 1)[2].pixels, draw(3, 2)[2].pixels);
}

TEST(PathfinderOptions, RefuseAPathThatHasNoRoom) {
  EXPECT_THAT([] { PathfinderGenerator({.contour_length = 60}); },
              ThrowsMessage<Error>(HasSubstr("contour_length = 60; it must be from 3 to 20")));
}

}  // namespace
}  // namespace lowrank::data
