// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/plot.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <system_error>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"

namespace lowrank::io {
namespace {

// Told apart by most color-blind readers, and dark enough for thin lines on white.
constexpr std::array kColors = {"#1f5fa8", "#d9622b", "#2f8f5b", "#8e4aa0",
                                "#b58900", "#4a5568", "#1797a6", "#b03a48"};
constexpr const char* kText = "#1f2937";
// From white to blue, and to orange below zero; text on it is light from kDarkFrom on.
constexpr const char* kPalette =
    "0 '#ffffff', 0.15 '#e3edf7', 0.5 '#7fb0d9', 0.75 '#2f78b7', 1 '#0b3d78'";
constexpr const char* kSignedPalette =
    "-1 '#7a2e0c', -0.75 '#bb5420', -0.5 '#e69a6c', -0.15 '#fbe9df', 0 '#ffffff', "
    "0.15 '#e3edf7', 0.5 '#7fb0d9', 0.75 '#2f78b7', 1 '#0b3d78'";
constexpr double kDarkFrom = 0.55;

// ---- Running gnuplot

using TemporaryFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

TemporaryFile temporary_file() {
  TemporaryFile file(std::tmpfile(), &std::fclose);
  if (!file) throw Error("The folder for temporary files cannot be written. Set TMPDIR.");
  return file;
}

std::string content_of(std::FILE* file) {
  std::string content;
  std::array<char, 65536> chunk;
  std::rewind(file);
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), file)) {
    content.append(chunk.data(), got);
  }
  return content;
}

// The picture that a script draws on its standard output. Throws Error with gnuplot's own message.
std::string run_gnuplot(const std::string& script) {
  const TemporaryFile input = temporary_file(), output = temporary_file(),
                      messages = temporary_file();
  std::fwrite(script.data(), 1, script.size(), input.get());
  std::rewind(input.get());

  posix_spawn_file_actions_t streams;
  posix_spawn_file_actions_init(&streams);
  posix_spawn_file_actions_adddup2(&streams, fileno(input.get()), 0);
  posix_spawn_file_actions_adddup2(&streams, fileno(output.get()), 1);
  posix_spawn_file_actions_adddup2(&streams, fileno(messages.get()), 2);
  std::string program = "gnuplot", no_user_settings = "-d";
  char* arguments[] = {program.data(), no_user_settings.data(), nullptr};
  pid_t child = 0;
  const int code = posix_spawnp(&child, "gnuplot", &streams, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&streams);
  if (code != 0) {
    throw Error(fmt::format("gnuplot cannot be run: {}. Install gnuplot to get pictures.",
                            std::generic_category().message(code)));
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::string picture = content_of(output.get());
  if (status == 0 && picture.starts_with("\x89PNG")) return picture;
  throw Error(fmt::format("gnuplot failed: {}", content_of(messages.get())));
}

bool draw_script(const std::filesystem::path& path, std::string* reason,
                 const std::function<std::string()>& script) {
  try {
    replace_file(path, run_gnuplot(script()));
    return true;
  } catch (const Error& error) {
    if (reason) *reason = error.what();
    return false;
  }
}

// ---- Writing scripts

// In single quotes gnuplot gives no character a meaning but the quote, which is doubled; the terminal
// is told to take text as it is. Names come from data sets: nothing in them may become a command.
std::string in_quotes(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + "'";
}

// At most 28 characters, so that a long name leaves room for the picture.
std::string shortened(const std::string& text) {
  constexpr size_t kLongest = 28;
  size_t characters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins_character = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (begins_character && ++characters > kLongest) return text.substr(0, i) + "...";
  }
  return text;
}

// What stands at an axis is taken for a number's format as well.
std::string axis_name(const std::string& text) {
  std::string out;
  for (const char c : shortened(text)) out += c == '%' ? "%%" : std::string(1, c);
  return in_quotes(out);
}

std::string common_settings(const std::string& title, const std::string& x_label,
                            const std::string& y_label, int height) {
  return fmt::format(
      "set encoding utf8\n"
      "set terminal pngcairo size 1200,{} noenhanced font 'DejaVu Sans,13' background '#ffffff'\n"
      "set title {} font 'DejaVu Sans Bold,16' textcolor rgb '{}' offset 0,0.5\n"
      "set xlabel {} textcolor rgb '{}' offset 0,-0.3\n"
      "set ylabel {} textcolor rgb '{}'\n"
      "set tics textcolor rgb '{}' scale 0.6 nomirror\n",
      height, in_quotes(title), kText, in_quotes(x_label), kText, in_quotes(y_label), kText, kText);
}

std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "NaN"; }

bool has_negative(const LinePlot& plot) {
  return std::any_of(plot.curves.begin(), plot.curves.end(), [](const Curve& curve) {
    return std::any_of(curve.y.begin(), curve.y.end(), [](double y) { return y < 0; });
  });
}

std::string line_script(const LinePlot& plot) {
  if (plot.curves.empty()) throw Error("The plot has no curves. Give it one.");
  std::string script = common_settings(plot.title, plot.x_label, plot.y_label, 750);
  script +=
      "set border 3 linecolor rgb '#9ca3af'\n"
      "set grid linecolor rgb '#e5e7eb' linewidth 1 linetype 1\n"
      "set key outside right top reverse Left samplen 2 spacing 1.4 textcolor rgb '#1f2937'\n"
      "set lmargin 12\n"
      "set bmargin 5\n"
      "set tmargin 4\n"
      "set offsets graph 0, graph 0, graph 0.04, graph 0.02\n";
  if (plot.log_x) script += "set logscale x\nset offsets 0, 0, 0, 0\n";
  // The room under the lowest value ends at zero where nothing lies below.
  if (!plot.log_y && !has_negative(plot)) script += "set yrange [0<*:*]\n";
  if (plot.log_y) script += "set logscale y\nset offsets 0, 0, 0, 0\n";
  std::string draws = "plot ";
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    const Curve& curve = plot.curves[i];
    if (curve.x.size() != curve.y.size()) {
      throw Error(fmt::format("Curve \"{}\" has {} x and {} y; it needs as many of each.",
                              curve.name, curve.x.size(), curve.y.size()));
    }
    script += fmt::format("$curve{} << END\n", i);
    for (size_t j = 0; j < curve.x.size(); ++j) {
      script += fmt::format("{} {}\n", number(curve.x[j]), number(curve.y[j]));
    }
    script += "END\n";
    constexpr size_t kFewPoints = 30;  // so few are marked, which shows where was measured
    const char* style =
        curve.x.size() <= kFewPoints ? "linespoints pointtype 7 pointsize 1" : "lines";
    draws += fmt::format("{}$curve{} using 1:2 with {} linewidth 2.5 linecolor rgb '{}' title {}",
                         i ? ", " : "", i, style, kColors[i % kColors.size()],
                         in_quotes(shortened(curve.name)));
  }
  return script + draws + "\n";
}

std::string named_tics(const char* axis, const std::vector<std::string>& names,
                       const char* options) {
  std::string script = fmt::format("set {} {} (", axis, options);
  for (size_t i = 0; i < names.size(); ++i) {
    script += fmt::format("{}{} {}", i ? ", " : "", axis_name(names[i]), i);
  }
  return script + ")\n";
}

std::string cell_text(double value) {
  const bool whole = value == std::floor(value) && std::abs(value) < 1e6;
  return whole ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

// A text as a field of gnuplot's data, where a quote ends it and a backslash begins something else.
std::string cell_field(const std::string& text) {
  std::string field = "\"";
  for (const char c : shortened(text)) {
    if (c == '"') field += "''";
    if (c == '\\') field += '/';
    if (c != '"' && c != '\\') field += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return field + "\"";
}

void require_rectangle(const MatrixPlot& plot) {
  const auto fits = [&](const auto& row) { return row.size() == plot.columns.size(); };
  const auto is_rectangle = [&](const auto& cells) {
    return cells.size() == plot.rows.size() && std::all_of(cells.begin(), cells.end(), fits);
  };
  if (plot.rows.empty() || plot.columns.empty() || !is_rectangle(plot.values)) {
    throw Error(
        "The matrix needs a value for every row and every column, and at least one of each.");
  }
  if (!plot.texts.empty() && !is_rectangle(plot.texts)) {
    throw Error("The matrix needs a text for every row and every column, or none.");
  }
}

// Zero is always in it, so that white means none; in the middle where there are values below it.
std::pair<double, double> value_range(const MatrixPlot& plot) {
  double lowest = 0, highest = 0;
  for (const auto& row : plot.values) {
    for (const double value : row) {
      if (!std::isfinite(value)) continue;
      lowest = std::min(lowest, value);
      highest = std::max(highest, value);
    }
  }
  if (lowest < 0) highest = std::max(highest, -lowest);
  if (lowest < 0) return {-highest, highest};
  return {0, highest > 0 ? highest : 1};
}

std::string matrix_settings(const MatrixPlot& plot) {
  const size_t rows = plot.rows.size(), columns = plot.columns.size();
  const bool many = std::max(rows, columns) > 12;
  const char* x_options = many          ? "rotate by -90 font ',11'"
                          : columns > 5 ? "rotate by -40 left"
                                        : "";
  const auto [lowest, highest] = value_range(plot);
  return common_settings(plot.title, plot.x_label, plot.y_label, many ? 1000 : 750) +
         named_tics("xtics", plot.columns, x_options) +
         named_tics("ytics", plot.rows, many ? "font ',11'" : "") +
         fmt::format(
             "set palette defined ({})\n"
             "set cbrange [{}:{}]\n"
             "set xrange [-0.5:{}]\n"
             "set yrange [{}:-0.5]\n"
             "{}"
             "set tmargin 4\n"
             "set border linecolor rgb '#9ca3af'\n"
             "set tics scale 0\n"
             "unset colorbox\n"
             "unset key\n",
             lowest < 0 ? kSignedPalette : kPalette, lowest, highest,
             static_cast<double>(columns) - 0.5, static_cast<double>(rows) - 0.5,
             plot.texts.empty()
                 ? fmt::format("set size ratio {}\n",
                               static_cast<double>(rows) / static_cast<double>(columns))
                 : "");
}

std::string matrix_script(const MatrixPlot& plot) {
  require_rectangle(plot);
  const double highest = value_range(plot).second;
  std::string cells, dark, light;
  for (size_t i = 0; i < plot.rows.size(); ++i) {
    for (size_t j = 0; j < plot.columns.size(); ++j) {
      const double value = plot.values[i][j];
      cells += fmt::format("{} {} {}\n", j, i, number(value));
      std::string& texts = std::abs(value) > kDarkFrom * highest ? light : dark;
      const std::string text = plot.texts.empty() ? cell_text(value) : cell_field(plot.texts[i][j]);
      texts += fmt::format("{} {} {}\n", j, i, text);
    }
  }
  const size_t larger = std::max(plot.rows.size(), plot.columns.size());
  const int font = larger <= 6 ? 16 : larger <= 12 ? 13 : larger <= 20 ? 10 : 8;
  std::string script = matrix_settings(plot);
  script += fmt::format("$cells << END\n{}END\n$dark << END\n{}END\n$light << END\n{}END\n", cells,
                        dark, light);
  script +=
      "plot $cells using 1:2:(0.5):(0.5):3 with boxxyerror fillstyle solid border rgb '#eef1f5' "
      "linecolor palette";
  const auto draw_texts = [&](const char* block, const char* color) {
    script += fmt::format(", ${} using 1:2:3 with labels font ',{}' textcolor rgb '{}'", block,
                          font, color);
  };
  if (!dark.empty()) draw_texts("dark", kText);
  if (!light.empty()) draw_texts("light", "#ffffff");
  return script + "\n";
}

}  // namespace

bool draw(const LinePlot& plot, const std::filesystem::path& path, std::string* reason) {
  return draw_script(path, reason, [&] { return line_script(plot); });
}

bool draw(const MatrixPlot& plot, const std::filesystem::path& path, std::string* reason) {
  return draw_script(path, reason, [&] { return matrix_script(plot); });
}

}  // namespace lowrank::io
