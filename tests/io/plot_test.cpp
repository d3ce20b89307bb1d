// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/plot.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "lowrank/base/file.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

// Where the pictures go: LOWRANK_PICTURES keeps them, to be looked at.
class Plot : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("gnuplot --version > /dev/null 2>&1") != 0) {
      GTEST_SKIP() << "gnuplot is not installed.";
    }
  }

  fs::path picture(const char* name) const {
    const char* kept = std::getenv("LOWRANK_PICTURES");
    return (kept ? fs::path(kept) : folder_.path()) / name;
  }

  // Draws and returns width and height, which a PNG states in its bytes 16 to 24.
  template <class Drawing>
  std::pair<int, int> drawn_size(const Drawing& plot, const char* name) {
    std::string reason;
    EXPECT_TRUE(draw(plot, picture(name), &reason)) << reason;
    const std::string png = read_file(picture(name));
    const auto number_at = [&](size_t start) {
      int number = 0;
      for (size_t i = 0; i < 4; ++i)
        number = number * 256 + static_cast<uint8_t>(png.at(start + i));
      return number;
    };
    return {number_at(16), number_at(20)};
  }

  TemporaryFolder folder_;
};

LinePlot two_curves() {
  LinePlot plot{"Loss", "step", "loss", {{"train", {}, {}}, {"validation", {}, {}}}};
  for (int i = 1; i <= 400; ++i) {
    plot.curves[0].x.push_back(i * 10);
    plot.curves[0].y.push_back(0.3 + 2 / std::sqrt(i) + 0.05 * std::sin(i * 12.9898));
    if (i % 40 != 0) continue;
    plot.curves[1].x.push_back(i * 10);
    plot.curves[1].y.push_back(0.45 + 2 / std::sqrt(i));
  }
  return plot;
}

MatrixPlot confusion(size_t classes) {
  MatrixPlot plot{
      fmt::format("Confusion over {} classes", classes), "predicted", "true", {}, {}, {}};
  for (size_t i = 0; i < classes; ++i) {
    plot.columns.push_back(fmt::format("class {}", i));
    plot.values.emplace_back();
    for (size_t j = 0; j < classes; ++j) {
      plot.values[i].push_back(i == j ? 120.0 + 9 * static_cast<double>(i % 5)
                                      : static_cast<double>((i * 7 + j * 3) % 11));
    }
  }
  plot.rows = plot.columns;
  return plot;
}

TEST_F(Plot, DrawsCurves) {
  EXPECT_EQ(drawn_size(two_curves(), "curves.png"), std::pair(1200, 750));
}

TEST_F(Plot, DrawsManyCurvesOnLogarithmicAxes) {
  LinePlot plot{"Time of one layer against length", "tokens", "milliseconds", {}, true, true};
  for (int i = 0; i < 6; ++i) {
    Curve curve{fmt::format("nystrom, {} landmarks", 16 << i), {}, {}};
    for (double n = 256; n <= 65536; n *= 2) {
      curve.x.push_back(n);
      curve.y.push_back(n * (i + 1) * 1e-3 + 0.1);
    }
    plot.curves.push_back(curve);
  }
  EXPECT_EQ(drawn_size(plot, "log.png"), std::pair(1200, 750));
}

TEST_F(Plot, DrawsASinglePointAndSkipsWhatIsNotFinite) {
  LinePlot plot{"One", "x", "y", {{"only", {1}, {2}}}};
  drawn_size(plot, "point.png");
  plot.curves[0] = {"gaps", {1, 2, 3}, {1, std::numeric_limits<double>::quiet_NaN(), INFINITY}};
  drawn_size(plot, "gaps.png");
}

TEST_F(Plot, DrawsAMatrixOfAnyUsualSize) {
  drawn_size(confusion(2), "matrix2.png");
  drawn_size(confusion(10), "matrix10.png");
  drawn_size(confusion(30), "matrix30.png");
  MatrixPlot wide{"Scores", "head", "layer", {"1", "2", "3"}, {"a"}, {{0.125, -2, 1e9}}};
  drawn_size(wide, "wide.png");
}

TEST_F(Plot, DrawsValuesBelowZeroAndTextsInTheCells) {
  MatrixPlot plot{"Attention",          "token",    "",
                  {"0", "1", "2", "3"}, {"0", "4"}, {{0.5, -0.4, 0, 0.1}, {-0.05, 0.9, 0.2, -0.9}}};
  drawn_size(plot, "signed.png");
  plot.texts = {{"[CLS]", "a \"b\"", "c\\n", "#d"}, {"", "it's", "100%", "\xc3\xa9\n"}};
  EXPECT_EQ(drawn_size(plot, "texts.png"), std::pair(1200, 750));
  plot.texts.pop_back();
  std::string reason;
  EXPECT_FALSE(draw(plot, picture("none.png"), &reason));
  EXPECT_THAT(reason, HasSubstr("a text for every row and every column"));
}

TEST_F(Plot, TakesNamesAsTheyAre) {
  const fs::path stolen = folder_.path() / "stolen";
  const std::string hostile =
      "it's 100% `touch " + stolen.string() + "` {/Bold x}_a^b\n\\n\"; set output '";
  LinePlot lines{hostile, hostile, hostile, {{hostile, {1, 2}, {1, 2}}}};
  drawn_size(lines, "hostile_lines.png");
  MatrixPlot matrix{hostile,         hostile, hostile, {hostile, "100%"}, {hostile, "\xc3\xa9"},
                    {{1, 2}, {3, 4}}};
  drawn_size(matrix, "hostile_matrix.png");
  EXPECT_FALSE(fs::exists(stolen));
}

TEST_F(Plot, SaysWhyItCannotDraw) {
  std::string reason;
  EXPECT_FALSE(draw(LinePlot{}, picture("none.png"), &reason));
  EXPECT_THAT(reason, HasSubstr("no curves"));
  EXPECT_FALSE(draw(LinePlot{"", "", "", {{"bad", {1, 2}, {1}}}}, picture("none.png"), &reason));
  EXPECT_THAT(reason, HasSubstr("Curve \"bad\" has 2 x and 1 y"));
  EXPECT_FALSE(draw(MatrixPlot{"", "", "", {"a"}, {"b"}, {{1, 2}}}, picture("none.png"), &reason));
  EXPECT_THAT(reason, HasSubstr("every row and every column"));
  EXPECT_FALSE(draw(two_curves(), folder_.path() / "absent" / "none.png", &reason));
  EXPECT_THAT(reason, HasSubstr("cannot be written"));
  EXPECT_FALSE(draw(LinePlot{}, picture("none.png")));
  EXPECT_FALSE(fs::exists(picture("none.png")));
}

TEST(PlotWithoutGnuplot, SaysSoAndLeavesTheOldPicture) {
  const TemporaryFolder folder;
  replace_file(folder.path() / "old.png", "old");
  const char* path = std::getenv("PATH");
  const std::string saved = path ? path : "";
  setenv("PATH", folder.path().c_str(), 1);
  std::string reason;
  EXPECT_FALSE(draw(two_curves(), folder.path() / "old.png", &reason));
  setenv("PATH", saved.c_str(), 1);
  EXPECT_THAT(reason, HasSubstr("gnuplot cannot be run"));
  EXPECT_EQ(read_file(folder.path() / "old.png"), "old");
}

}  // namespace
}  // namespace lowrank::io
