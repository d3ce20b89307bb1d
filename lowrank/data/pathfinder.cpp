// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/pathfinder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lowrank/base/error.h"

namespace lowrank::data {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr int64_t kSide = kImageSide;
constexpr int64_t kFine = 2;  // fine pixels a pixel, that shapes are drawn in
constexpr int64_t kLength = 2, kMargin = 1, kPadding = 1, kSeedDistance = 7;
constexpr double kContinuity = 1, kMarkerRadius = 1.5;
constexpr double kPathContrast = 2 * 0.75, kDistractorContrast = 2;
constexpr int kDashTrials = 3, kDistractorTrials = 5;
constexpr double kFree = 0.3;     // largest mask of a free pixel
constexpr double kOverlap = 1.8;  // sum of two masks that cross
constexpr double kLeastFreeShare = 0.01;

bool inside(const Pixel& p) { return p.y >= 0 && p.y < kSide && p.x >= 0 && p.x < kSide; }

size_t index_of(const Pixel& p) { return static_cast<size_t>(p.y * kSide + p.x); }

Pixel moved(const Pixel& from, double orientation, double distance) {
  const auto to = [](int64_t place, double step) {
    return static_cast<int64_t>(std::ceil(static_cast<double>(place) + step));
  };
  return {to(from.y, distance * std::sin(orientation)),
          to(from.x, distance * std::cos(orientation))};
}

double reversed(double orientation) {
  return orientation < 0 ? orientation + kPi : orientation - kPi;
}

double random_orientation(Random& random) {
  return (static_cast<double>(random.below(360)) - 180) * kPi / 180;
}

double lanczos(double x) {
  constexpr double kLobes = 3;
  if (x == 0) return 1;
  if (std::abs(x) >= kLobes) return 0;
  return kLobes * std::sin(kPi * x) * std::sin(kPi * x / kLobes) / (kPi * kPi * x * x);
}

// Weights of the fine pixels in each coarse one, [coarse][fine]; each row sums to 1.
std::vector<std::vector<double>> resampling(size_t fine, size_t coarse) {
  const double scale = static_cast<double>(fine) / static_cast<double>(coarse);
  std::vector<std::vector<double>> weights(coarse, std::vector<double>(fine));
  for (size_t i = 0; i < coarse; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    double sum = 0;
    for (size_t j = 0; j < fine; ++j) {
      weights[i][j] = lanczos((static_cast<double>(j) + 0.5 - center) / scale);
      sum += weights[i][j];
    }
    for (double& weight : weights[i]) weight /= sum;
  }
  return weights;
}

// A shape drawn in fine pixels, 0 or 1.
class FineShape {
 public:
  explicit FineShape(int64_t side) : side_(side), pixels_(static_cast<size_t>(side * side), 0.0) {}

  void set(int64_t y, int64_t x) {
    if (y >= 0 && y < side_ && x >= 0 && x < side_) pixels_[static_cast<size_t>(y * side_ + x)] = 1;
  }

  // Bresenham's line.
  void line(Pixel from, const Pixel& to) {
    const int64_t dy = std::abs(to.y - from.y), dx = std::abs(to.x - from.x);
    const int64_t step_y = from.y < to.y ? 1 : -1, step_x = from.x < to.x ? 1 : -1;
    for (int64_t error = dx - dy;;) {
      set(from.y, from.x);
      if (from == to) return;
      const int64_t doubled = 2 * error;
      if (doubled > -dy) {
        error -= dy;
        from.x += step_x;
      }
      if (doubled < dx) {
        error += dx;
        from.y += step_y;
      }
    }
  }

  void disc(int64_t y, int64_t x, double radius) {
    const auto reach = static_cast<int64_t>(radius);
    for (int64_t dy = -reach; dy <= reach; ++dy) {
      for (int64_t dx = -reach; dx <= reach; ++dx) {
        if (static_cast<double>(dy * dy + dx * dx) <= radius * radius) set(y + dy, x + dx);
      }
    }
  }

  // A disc around each pixel.
  FineShape widened(double radius) const {
    FineShape wide(side_);
    for (int64_t y = 0; y < side_; ++y) {
      for (int64_t x = 0; x < side_; ++x) {
        if (pixels_[static_cast<size_t>(y * side_ + x)] > 0) wide.disc(y, x, radius);
      }
    }
    return wide;
  }

  // Coarse pixels, row by row, from 0 to 1.
  std::vector<double> coarse(size_t side) const {
    const auto fine = static_cast<size_t>(side_);
    const auto weights = resampling(fine, side);
    std::vector<double> rows(fine * side, 0.0), result(side * side, 0.0);
    for (size_t y = 0; y < fine; ++y) {
      for (size_t i = 0; i < side; ++i) {
        for (size_t x = 0; x < fine; ++x) {
          rows[y * side + i] += weights[i][x] * pixels_[y * fine + x];
        }
      }
    }
    for (size_t i = 0; i < side; ++i) {
      for (size_t x = 0; x < side; ++x) {
        double sum = 0;
        for (size_t y = 0; y < fine; ++y) sum += weights[i][y] * rows[y * side + x];
        result[i * side + x] = std::clamp(sum, 0.0, 1.0);
      }
    }
    return result;
  }

 private:
  int64_t side_;
  std::vector<double> pixels_;
};

// Calls visit(patch value, plane value) for each pixel of a patch that lies in the plane.
template <class Patch, class Plane, class Visit>
void for_each_pixel(const Patch& patch, const Pixel& center, Plane& plane, const Visit& visit) {
  const int64_t reach = std::ssize(patch) / 2;
  for (int64_t dy = -reach; dy <= reach; ++dy) {
    for (int64_t dx = -reach; dx <= reach; ++dx) {
      const Pixel place{center.y + dy, center.x + dx};
      if (!inside(place)) continue;
      visit(patch[static_cast<size_t>(dy + reach)][static_cast<size_t>(dx + reach)],
            plane[index_of(place)]);
    }
  }
}

template <class Patch, class Plane>
void draw_patch(const Patch& patch, const Pixel& center, double contrast, Plane& plane) {
  for_each_pixel(patch, center, plane,
                 [&](double value, double& pixel) { pixel = std::max(pixel, contrast * value); });
}

template <class Patch, class Plane>
bool crosses(const Patch& patch, const Pixel& center, const Plane& plane) {
  double largest = 0;
  for_each_pixel(patch, center, plane,
                 [&](double value, double pixel) { largest = std::max(largest, value + pixel); });
  return largest >= kOverlap;
}

template <class Plane>
void fill_border(Plane& plane, int64_t width) {
  for (int64_t y = 0; y < kSide; ++y) {
    for (int64_t x = 0; x < kSide; ++x) {
      const int64_t edge = std::min({y, x, kSide - 1 - y, kSide - 1 - x});
      if (edge < width) plane[index_of({y, x})] = 1;
    }
  }
}

// The pixel's mask, and that of the four around it.
template <class Plane>
double widened_at(const Plane& mask, const Pixel& place) {
  double largest = 0;
  for (const Pixel& step : {Pixel{0, 0}, Pixel{-1, 0}, Pixel{1, 0}, Pixel{0, -1}, Pixel{0, 1}}) {
    const Pixel near{place.y + step.y, place.x + step.x};
    if (inside(near)) largest = std::max(largest, mask[index_of(near)]);
  }
  return largest;
}

struct Candidate {
  Pixel end;
  double orientation = 0, weight = 0;
};

// Where the next dash may end: the pixels at a dash's reach from its pivot.
template <class Plane>
std::vector<Candidate> candidates(const Pixel& pivot, double last, const Plane& mask) {
  constexpr double kRadius = kLength + kMargin;
  std::vector<Candidate> found;
  for (double turn = 0; turn < 2 * kPi; turn += 1 / kRadius) {  // a pixel of arc
    const double y = static_cast<double>(pivot.y) + kRadius * std::sin(turn);
    const double x = static_cast<double>(pivot.x) + kRadius * std::cos(turn);
    if (y < 0 || x < 0 || y >= kSide || x >= kSide) continue;
    const Pixel end{static_cast<int64_t>(y), static_cast<int64_t>(x)};
    const bool known = std::any_of(found.begin(), found.end(),
                                   [&](const Candidate& other) { return other.end == end; });
    if (known) continue;
    const double orientation = std::atan2(end.y - pivot.y, end.x - pivot.x);
    const double away = std::abs(orientation - last);
    const double bend = std::min(kContinuity * std::min(away, 2 * kPi - away), kPi / 2);
    const double along = std::max(std::cos(bend), 0.0);
    found.push_back({end, orientation, along * along * (1 - widened_at(mask, end))});
  }
  return found;
}

}  // namespace

PathfinderGenerator::PathfinderGenerator(const PathfinderOptions& options) : options_(options) {
  if (options.contour_length >= 3 && options.contour_length <= 20) return;
  throw Error(
      fmt::format("pathfinder: contour_length = {}; it must be from 3 to 20, what 32 x 32 pixels "
                  "have room for. Use 6, 9 or 14.",
                  options.contour_length));
}

const PathfinderGenerator::Dash& PathfinderGenerator::dash(double orientation) {
  const auto [entry, is_new] = dashes_.try_emplace(orientation);
  Dash& dash = entry->second;
  if (!is_new) return dash;
  constexpr int64_t kCenter = kReach * kFine;
  FineShape shape(2 * kCenter + 1);
  shape.line({kCenter, kCenter}, moved({kCenter, kCenter}, orientation, kLength * kFine));
  const std::vector<double> line = shape.coarse(kPatch);
  const std::vector<double> mask = shape.widened(kMargin * kFine).coarse(kPatch);
  for (size_t y = 0; y < kPatch; ++y) {
    std::copy_n(line.begin() + static_cast<int64_t>(y * kPatch), kPatch, dash.line[y].begin());
    std::copy_n(mask.begin() + static_cast<int64_t>(y * kPatch), kPatch, dash.mask[y].begin());
  }
  return dash;
}

void PathfinderGenerator::begin(Scene& scene, Path& path, const Pixel& start, double orientation) {
  const Dash& first = dash(orientation);
  draw_patch(first.line, start, path.contrast, scene.image);
  const Pixel end = moved(start, orientation, kLength);
  path.ends = {start, end};
  path.pivot = moved(end, reversed(orientation), kLength + kMargin);
  path.orientation = orientation;
  path.mask = first.mask;
  path.mask_place = start;
}

// Anywhere at least `border` from the edge where the dash keeps clear of all others.
bool PathfinderGenerator::begin_first(Scene& scene, Path& path, int64_t border, Random& random) {
  Plane mask = scene.mask;
  fill_border(mask, border);
  for (int trial = 0; trial < kDashTrials; ++trial) {
    const double orientation = random_orientation(random);
    const Dash& first = dash(orientation);
    std::vector<Pixel> free;
    for (int64_t y = 0; y < kSide; ++y) {
      for (int64_t x = 0; x < kSide; ++x) {
        double largest = mask[index_of({y, x})];
        for_each_pixel(first.mask, {y, x}, mask, [&](double value, double pixel) {
          if (value > 0.999) largest = std::max(largest, pixel);
        });
        if (largest <= kFree) free.push_back({y, x});
      }
    }
    if (free.empty()) return false;
    const Pixel start = free[random.below(free.size())];
    const Pixel end = moved(start, orientation, kLength);
    if (!inside(end) || !inside(moved(end, reversed(orientation), kLength + kMargin))) continue;
    begin(scene, path, start, orientation);
    return true;
  }
  return false;
}

bool PathfinderGenerator::begin_second(Scene& scene, Path& path, const Path& first,
                                       Random& random) {
  const Pixel& place = first.ends.front();
  Plane mask = scene.mask;
  draw_patch(first.mask, first.mask_place, 1, mask);
  for (int trial = 0; trial < kDashTrials; ++trial) {
    const double orientation = random_orientation(random), towards = random_orientation(random);
    const Pixel start{place.y + std::llround(kSeedDistance * std::sin(towards)),
                      place.x + std::llround(kSeedDistance * std::cos(towards))};
    const Pixel end = moved(start, orientation, kLength);
    if (!inside(end) || !inside(moved(end, reversed(orientation), kLength + kMargin))) continue;
    if (crosses(dash(orientation).mask, start, mask)) continue;
    begin(scene, path, start, orientation);
    return true;
  }
  return false;
}

// False where the path has nowhere to go. The mask of a path's last dash joins the scene's one dash later,
// lest it keep away the next; the other path must not wait for it.
bool PathfinderGenerator::extend(Scene& scene, Path& path, const Path* other, Random& random) {
  Plane mask = scene.mask;
  if (other) draw_patch(other->mask, other->mask_place, 1, mask);
  const Pixel pivot = moved(path.pivot, path.orientation, kLength + 2 * kMargin);
  const std::vector<Candidate> all = candidates(pivot, path.orientation, mask);
  double total = 0;
  for (const Candidate& candidate : all) total += candidate.weight;
  if (total < 1e-4) return false;
  for (int trial = 0; trial < kDashTrials; ++trial) {
    double left = random.uniform() * total;
    size_t chosen = 0;
    for (size_t i = 0; i < all.size() && left >= 0; ++i) {
      left -= all[i].weight;
      if (all[i].weight > 0) chosen = i;
    }
    const Candidate& next = all[chosen];
    const Dash& back = dash(reversed(next.orientation));  // drawn from its end
    if (crosses(back.mask, next.end, mask)) continue;
    draw_patch(back.line, next.end, path.contrast, scene.image);
    draw_patch(path.mask, path.mask_place, 1, scene.mask);
    path.ends.push_back(next.end);
    path.pivot = pivot;
    path.orientation = next.orientation;
    path.mask = back.mask;
    path.mask_place = next.end;
    return true;
  }
  return false;
}

bool PathfinderGenerator::draw_long_paths(Scene& scene, std::array<Path, 2>& paths,
                                          Random& random) {
  scene = {};
  fill_border(scene.mask, kPadding);
  paths = {};
  for (Path& path : paths) path.contrast = kPathContrast;
  if (!begin_first(scene, paths[0], 2 * kSeedDistance, random)) return false;
  if (!begin_second(scene, paths[1], paths[0], random)) return false;
  for (int64_t i = 1; i < options_.contour_length; ++i) {
    if (!extend(scene, paths[0], &paths[1], random)) return false;
    if (!extend(scene, paths[1], &paths[0], random)) return false;
  }
  for (const Path& path : paths) draw_patch(path.mask, path.mask_place, 1, scene.mask);
  return true;
}

bool PathfinderGenerator::draw_distractor(Scene& scene, Random& random) {
  const auto free = std::count_if(scene.mask.begin(), scene.mask.end(),
                                  [](double value) { return value <= kFree; });
  if (static_cast<double>(free) < kLeastFreeShare * kImagePixels) return false;
  Scene attempt = scene;
  Path path;
  path.contrast = kDistractorContrast;
  if (!begin_first(attempt, path, 1, random)) return false;
  for (int64_t i = 1; i < options_.contour_length / 3; ++i) {
    if (!extend(attempt, path, nullptr, random)) return false;
  }
  draw_patch(path.mask, path.mask_place, 1, attempt.mask);
  scene = attempt;
  return true;
}

PathfinderImage PathfinderGenerator::draw(bool connected, Random& random) {
  Scene scene;
  std::array<Path, 2> paths;
  while (!draw_long_paths(scene, paths, random)) {
  }
  const int64_t distractors = 20 / (options_.contour_length / 3);
  for (int64_t i = 0; i < distractors; ++i) {
    for (int trial = 0; trial < kDistractorTrials && !draw_distractor(scene, random); ++trial) {
    }
  }
  const size_t from = random.below(2), to = connected ? from : 1 - from;
  PathfinderImage drawn{.connected = connected,
                        .paths = {paths[0].ends, paths[1].ends},
                        .markers = {paths[from].ends.front(), paths[to].ends.back()}};
  for (const Pixel& marker : drawn.markers) {
    FineShape shape(kFine * kSide);
    shape.disc(kFine * marker.y, kFine * marker.x, kFine * kMarkerRadius);
    const std::vector<double> disc = shape.coarse(kSide);
    for (size_t i = 0; i < disc.size(); ++i) scene.image[i] = std::max(scene.image[i], disc[i]);
  }
  const double brightest = *std::max_element(scene.image.begin(), scene.image.end());
  for (size_t i = 0; i < scene.image.size(); ++i) {
    drawn.pixels[i] = static_cast<uint8_t>(255 * scene.image[i] / brightest + 0.5);
  }
  return drawn;
}

}  // namespace lowrank::data
