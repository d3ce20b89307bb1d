// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace lowrank::cli {
namespace {

constexpr int kCells = 24;  // of the bar itself
constexpr std::chrono::milliseconds kRedraw{100};

size_t terminal_columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

ProgressBar::ProgressBar(const Console& console)
    : console_(console), color_(std::getenv("NO_COLOR") == nullptr) {}

ProgressBar::~ProgressBar() { wipe(); }

void ProgressBar::update(double done, const std::string& text) {
  if (!console_.err_is_terminal) return;
  const bool end = done <= 0 || done >= 1;
  done_ = std::clamp(done, 0.0, 1.0);
  text_ = text;
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && !end && now - last_drawn_ < kRedraw) return;
  last_drawn_ = now;
  draw();
}

void ProgressBar::print(const std::string& line) {
  const bool redraw = drawn_;
  wipe();
  console_.err << line << std::endl;
  if (redraw) draw();
}

void ProgressBar::wipe() {
  if (drawn_) console_.err << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

void ProgressBar::draw() {
  const int full = static_cast<int>(done_ * kCells);
  const std::string filled(static_cast<size_t>(full), '=');
  const std::string empty(static_cast<size_t>(kCells - full), ' ');
  std::string tail = fmt::format("{}] {:3.0f} %  {}", empty, 100 * done_, text_);
  // A line that wraps could not be drawn over: cut it one column short of the edge.
  const size_t columns = terminal_columns();
  const size_t left = columns > filled.size() + 2 ? columns - filled.size() - 2 : 0;
  tail.resize(std::min(tail.size(), left));
  console_.err << (color_ ? fmt::format("\r[\x1b[32m{}\x1b[0m{}\x1b[K", filled, tail)
                          : fmt::format("\r[{}{}\x1b[K", filled, tail))
               << std::flush;
  drawn_ = true;
}

}  // namespace lowrank::cli
