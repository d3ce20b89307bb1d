// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "lowrank/data/images.h"
#include "lowrank/data/random.h"

namespace lowrank::data {

// Pathfinder (Linsley et al. 2018, arXiv:1805.08315; Kim et al. 2020) as Long Range Arena asks for it in 32
// x 32 pixels: two long dashed paths, short ones that distract, and two round markers at ends of the long
// ones. Do both markers lie on one path?
struct PathfinderOptions {
  int64_t contour_length = 14;  // dashes of a long path: 6 is easy, 9 intermediate, 14 hard
};

struct Pixel {
  int64_t y = 0, x = 0;
  bool operator==(const Pixel&) const = default;
};

struct PathfinderImage {
  GrayImage pixels = {};
  bool connected = false;  // both markers lie on one path
  // Of the long paths: where the first dash begins, and then the end of each dash.
  std::array<std::vector<Pixel>, 2> paths;
  std::array<Pixel, 2> markers;  // at the beginning of a path, and at an end
};

// Draws images after the published definition (drewlinsley/pathfinder, snakes2.py) with the parameters
// that Long Range Arena gives, and three repairs: the dash that a long path drew last keeps the other path
// away, which there could cross it; the last dash of either path keeps distractors away, where there only
// the second path's did; and the footprint that a first dash must find free is that of the dash, where there
// it is shifted by a pixel.
//
//   dashes      2 pixels long, half a pixel thick, antialiased; a path's first one in a random direction
//   next dash   begins a pixel further on, and turns by t with a probability as cos(t)^2, never by a right
//               angle or more, to where a pixel around it is free; paths that find no place are drawn anew
//   long paths  begin 7 pixels apart near the middle, and grow in turns
//   distractors 20 / n paths of n = contour_length / 3 dashes, fewer where no room is left
//   brightness  1.5 for dashes of the long paths, 2 for those of distractors, 1 for markers of radius
//               1.5; scaled so that an image's brightest pixel has 255
class PathfinderGenerator {
 public:
  // Throws Error for a contour_length below 3 or above 20, for which there is no room.
  explicit PathfinderGenerator(const PathfinderOptions& options = {});

  PathfinderImage draw(bool connected, Random& random);

 private:
  static constexpr int64_t kReach = 4;  // of a dash with its margin, from where it begins
  static constexpr size_t kPatch = 2 * kReach + 1;
  using Patch = std::array<std::array<double, kPatch>, kPatch>;  // centered where the dash begins
  using Plane = std::array<double, kImagePixels>;
  struct Dash {
    Patch line = {}, mask = {};  // 0 to 1: its pixels, and those that it keeps free
  };
  struct Path {
    std::vector<Pixel> ends;
    Pixel pivot;             // that the last dash turned around
    double orientation = 0;  // of the last dash
    Patch mask = {};         // of the last dash, not yet in the scene's
    Pixel mask_place;
    double contrast = 0;
  };
  struct Scene {
    Plane image = {}, mask = {};
  };

  const Dash& dash(double orientation);
  bool draw_long_paths(Scene& scene, std::array<Path, 2>& paths, Random& random);
  bool draw_distractor(Scene& scene, Random& random);
  bool begin_first(Scene& scene, Path& path, int64_t border, Random& random);
  bool begin_second(Scene& scene, Path& path, const Path& first, Random& random);
  void begin(Scene& scene, Path& path, const Pixel& start, double orientation);
  bool extend(Scene& scene, Path& path, const Path* other, Random& random);

  PathfinderOptions options_;
  std::map<double, Dash> dashes_;  // by orientation
};

}  // namespace lowrank::data
