// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/attention_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lowrank/cli/escape.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/text/utf8.h"

namespace lowrank::cli {
namespace {

constexpr size_t kColumns = 16;     // of a picture of one vector
constexpr size_t kMostCells = 512;  // of it
constexpr size_t kMostRuns = 64;    // columns of a picture of several

std::string number(double value) { return fmt::format("{:.6g}", value); }

std::string csv_field(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string html_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = text::find_invalid_utf8(text).value_or(text.size());
    for (const char c : text.substr(0, valid)) {
      const bool control = static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t';
      if (c == '&') out += "&amp;";
      if (c == '<') out += "&lt;";
      if (c == '>') out += "&gt;";
      if (c == '"') out += "&quot;";
      if (control) out += "&#xFFFD;";
      if (!control && c != '&' && c != '<' && c != '>' && c != '"') out += c;
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    out += "&#xFFFD;";
    text.remove_prefix(1);
  }
  return out;
}

bool continues_character(const std::string& text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

// A stretch of the page: tokens that share characters become one.
struct Stretch {
  size_t begin = 0, end = 0;
  size_t first = 0, count = 1;  // places
  double weight = 0;
};

// Bytes that end within a character, as byte-level tokens do, take all of it.
std::vector<Stretch> stretches_of(const AttentionReport& report, const AttentionVector& vector) {
  std::vector<Stretch> result;
  for (size_t i = 0; i < report.places.size(); ++i) {
    const AttentionPlace& place = report.places[i];
    size_t begin = static_cast<size_t>(place.bytes.begin),
           end = static_cast<size_t>(place.bytes.end);
    for (int k = 0; k < 3 && begin > 0 && continues_character(report.text, begin); ++k) --begin;
    for (int k = 0; k < 3 && continues_character(report.text, end); ++k) ++end;
    const bool shared = place.is_text && !result.empty() &&
                        report.places[result.back().first].is_text && begin < result.back().end;
    if (shared) {
      result.back().end = std::max(result.back().end, end);
      result.back().weight += vector.weights[i];
      ++result.back().count;
    } else {
      result.push_back({begin, end, i, 1, vector.weights[i]});
    }
  }
  return result;
}

std::string background(double weight, double largest) {
  if (weight == 0 || largest == 0) return "";
  const double strength = 0.55 * std::sqrt(std::abs(weight) / largest);
  return fmt::format(" style=\"background:rgba({},{:.3f})\"",
                     weight > 0 ? "31,95,168" : "217,98,43", std::min(strength, 0.55));
}

void write_vector(const AttentionReport& report, const AttentionVector& vector, std::string& html) {
  html += fmt::format("<h2>{}</h2>\n<p class=\"note\">adds up to {}", html_text(vector.name),
                      number(vector.sum()));
  if (vector.negative_share() > 0) {
    html +=
        fmt::format("; {} of the entries are negative (orange)", percent(vector.negative_share()));
  }
  html += "</p>\n<p class=\"text\">";
  size_t written = 0;
  double largest = 0;
  const std::vector<Stretch> stretches = stretches_of(report, vector);
  for (const Stretch& stretch : stretches) largest = std::max(largest, std::abs(stretch.weight));
  for (const Stretch& stretch : stretches) {
    const AttentionPlace& place = report.places[stretch.first];
    const std::string_view text = report.text;
    if (place.is_text && stretch.begin > written) {
      html += html_text(text.substr(written, stretch.begin - written));
    }
    const std::string places = stretch.count == 1 ? std::to_string(stretch.first)
                                                  : fmt::format("{} to {}", stretch.first,
                                                                stretch.first + stretch.count - 1);
    html += fmt::format(
        "<span{}{} title=\"{}: {}\">{}</span>", place.is_text ? "" : " class=\"special\"",
        background(stretch.weight, largest), places, number(stretch.weight),
        place.is_text ? html_text(text.substr(stretch.begin, stretch.end - stretch.begin))
                      : html_text(place.token));
    if (place.is_text) written = std::max(written, stretch.end);
  }
  html += html_text(std::string_view(report.text).substr(std::min(written, report.text.size())));
  html += "</p>\n";
}

// Sums of runs of `length` places, as colors: the square root of their part of the largest.
std::vector<double> in_runs(const std::vector<double>& weights, size_t length) {
  std::vector<double> sums((weights.size() + length - 1) / length, 0);
  for (size_t i = 0; i < weights.size(); ++i) sums[i / length] += weights[i];
  double largest = 0;
  for (const double sum : sums) largest = std::max(largest, std::abs(sum));
  for (double& sum : sums) {
    if (largest > 0) sum = std::copysign(std::sqrt(std::abs(sum) / largest), sum);
  }
  return sums;
}

size_t run_length(size_t places, size_t most) { return (places + most - 1) / most; }

io::MatrixPlot one_vector(const AttentionReport& report, io::MatrixPlot plot) {
  const AttentionVector& vector = report.vectors.front();
  const size_t run = run_length(report.places.size(), kMostCells);
  const std::vector<double> cells = in_runs(vector.weights, run);
  const size_t columns = std::min(kColumns, cells.size());
  plot.title = vector.name + ": " + plot.title;
  plot.y_label = run > 1 ? fmt::format("token; a cell adds up {} of them", run) : "token";
  for (size_t j = 0; j < columns; ++j) plot.columns.push_back(fmt::format("+{}", j * run));
  for (size_t i = 0; i < cells.size(); i += columns) {
    plot.rows.push_back(std::to_string(i * run));
    plot.values.emplace_back(columns, 0);
    plot.texts.emplace_back(columns);
    for (size_t j = 0; j < columns && i + j < cells.size(); ++j) {
      plot.values.back()[j] = cells[i + j];
      if (run == 1) plot.texts.back()[j] = report.places[i + j].token;
    }
  }
  return plot;
}

}  // namespace

double AttentionVector::sum() const { return std::accumulate(weights.begin(), weights.end(), 0.0); }

double AttentionVector::largest() const {
  double result = 0;
  for (const double weight : weights) result = std::max(result, std::abs(weight));
  return result;
}

double AttentionVector::negative_share() const {
  const auto negative =
      std::count_if(weights.begin(), weights.end(), [](double w) { return w < 0; });
  return weights.empty() ? 0 : static_cast<double>(negative) / static_cast<double>(weights.size());
}

void print(const AttentionReport& report, int64_t top, std::ostream& out) {
  out << report.title << '\n';
  for (const std::string& note : report.notes) out << "note: " << note << '\n';
  for (const AttentionVector& vector : report.vectors) {
    out << fmt::format("\n{}: adds up to {}", escaped(vector.name), number(vector.sum()));
    if (vector.negative_share() > 0) {
      out << fmt::format(", {} of the entries are negative", percent(vector.negative_share()));
    }
    out << '\n';
    std::vector<size_t> order(vector.weights.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const size_t shown = std::min(order.size(), static_cast<size_t>(top));
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown),
                      order.end(), [&](size_t a, size_t b) {
                        const double x = std::abs(vector.weights[a]),
                                     y = std::abs(vector.weights[b]);
                        return x != y ? x > y : a < b;
                      });
    Table table({"weight", "place", "bytes", "token"}, 0);
    for (size_t i = 0; i < shown; ++i) {
      const AttentionPlace& place = report.places[order[i]];
      table.add_row({number(vector.weights[order[i]]), std::to_string(order[i]),
                     place.is_text ? fmt::format("{}-{}", place.bytes.begin, place.bytes.end) : "-",
                     escaped(place.token)});
    }
    table.print(out);
  }
}

Json to_json(const AttentionReport& report) {
  Json json = {{"title", report.title},
               {"notes", report.notes},
               {"tokens", Json::array()},
               {"vectors", Json::array()}};
  for (size_t i = 0; i < report.places.size(); ++i) {
    const AttentionPlace& place = report.places[i];
    json["tokens"].push_back({{"place", i},
                              {"token", place.token},
                              {"begin_byte", place.is_text ? Json(place.bytes.begin) : Json()},
                              {"end_byte", place.is_text ? Json(place.bytes.end) : Json()}});
  }
  for (const AttentionVector& vector : report.vectors) {
    json["vectors"].push_back({{"name", vector.name},
                               {"sum", vector.sum()},
                               {"negative_share", vector.negative_share()},
                               {"weights", vector.weights}});
  }
  return json;
}

std::string to_csv(const AttentionReport& report) {
  std::string csv = "place,token,begin_byte,end_byte";
  for (const AttentionVector& vector : report.vectors) csv += "," + csv_field(vector.name);
  csv += '\n';
  for (size_t i = 0; i < report.places.size(); ++i) {
    const AttentionPlace& place = report.places[i];
    csv += fmt::format("{},{},", i, csv_field(place.token));
    csv += place.is_text ? fmt::format("{},{}", place.bytes.begin, place.bytes.end) : ",";
    for (const AttentionVector& vector : report.vectors)
      csv += fmt::format(",{}", vector.weights[i]);
    csv += '\n';
  }
  return csv;
}

std::string to_html(const AttentionReport& report) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Attention</title>\n<style>\n"
      ":root { color-scheme: light dark; }\n"
      "body { font: 16px/1.7 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: "
      "0 1rem; }\n"
      "h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; }\n"
      ".note { opacity: .75; font-size: .9rem; }\n"
      ".text { white-space: pre-wrap; overflow-wrap: anywhere; }\n"
      ".text span { border-radius: .2em; }\n"
      ".special { font: .8em ui-monospace, monospace; padding: 0 .2em; border: 1px solid #8888; }\n"
      "</style>\n</head>\n<body>\n";
  html += fmt::format("<h1>{}</h1>\n", html_text(report.title));
  html += "<p class=\"note\">The color grows with the square root of the weight.</p>\n";
  for (const std::string& note : report.notes) {
    html += fmt::format("<p class=\"note\">{}</p>\n", html_text(note));
  }
  for (const AttentionVector& vector : report.vectors) write_vector(report, vector, html);
  return html + "</body>\n</html>\n";
}

io::MatrixPlot to_plot(const AttentionReport& report) {
  io::MatrixPlot plot{
      .title = report.title, .x_label = "", .y_label = "", .columns = {}, .rows = {}, .values = {}};
  if (report.vectors.size() == 1) return one_vector(report, std::move(plot));
  const size_t run = run_length(report.places.size(), kMostRuns);
  plot.x_label = run > 1 ? fmt::format("token; a cell adds up {} of them", run) : "token";
  for (size_t i = 0; i < report.places.size(); i += run) {
    plot.columns.push_back(run > 1 ? std::to_string(i)
                                   : fmt::format("{} {}", i, report.places[i].token));
  }
  for (const AttentionVector& vector : report.vectors) {
    plot.rows.push_back(vector.name);
    plot.values.push_back(in_runs(vector.weights, run));
    plot.texts.emplace_back(plot.columns.size());
  }
  return plot;
}

}  // namespace lowrank::cli
