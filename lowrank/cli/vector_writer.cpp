// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/vector_writer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <iterator>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "lowrank/io/npy.h"

namespace lowrank::cli {
namespace {

// "0.5,-1.25": the fewest digits that read back to the same number.
void append_numbers(std::string& line, const at::Tensor& vector) {
  const at::Tensor row = vector.contiguous();
  const float* values = row.const_data_ptr<float>();
  for (int64_t i = 0; i < row.numel(); ++i) {
    fmt::format_to(std::back_inserter(line), "{}{}", i == 0 ? "" : ",", values[i]);
  }
}

std::string json_line(const std::string& source, const at::Tensor& vector) {
  const std::string name = Json(source).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string line = fmt::format("{{\"source\":{},\"vector\":[", name);
  append_numbers(line, vector);
  return line + "]}\n";
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string csv_line(const std::string& source, const at::Tensor& vector) {
  std::string line = csv_field(source) + ",";
  append_numbers(line, vector);
  return line + "\n";
}

std::string csv_heading(int64_t width) {
  std::string line = "source";
  for (int64_t i = 0; i < width; ++i) fmt::format_to(std::back_inserter(line), ",{}", i);
  return line + "\n";
}

class TextWriter final : public VectorWriter {
 public:
  using Line = std::string (*)(const std::string& source, const at::Tensor& vector);
  TextWriter(const std::string& heading, Line line, const std::string& file, std::ostream& out)
      : line_(line), file_(file.empty() ? nullptr : std::make_unique<AtomicFile>(file)), out_(out) {
    put(heading);
  }

  void write(const std::vector<std::string>& sources, const at::Tensor& vectors) override {
    std::string lines;
    for (size_t i = 0; i < sources.size(); ++i) {
      lines += line_(sources[i], vectors[static_cast<int64_t>(i)]);
    }
    put(lines);
    if (!file_) out_ << std::flush;
    if (!file_ && !out_) throw Error("stdout: writing failed. Check the disk or the pipe.");
  }

  void commit() override {
    if (file_) file_->commit();
  }

 private:
  void put(const std::string& text) {
    if (file_) {
      file_->write(text);
    } else {
      out_ << text;
    }
  }

  Line line_;
  std::unique_ptr<AtomicFile> file_;
  std::ostream& out_;
};

class ArrayWriter final : public VectorWriter {
 public:
  ArrayWriter(const std::string& file, int64_t width) : writer_(file, at::kFloat, width) {}
  void write(const std::vector<std::string>&, const at::Tensor& vectors) override {
    writer_.write(vectors);
  }
  void commit() override { writer_.commit(); }

 private:
  io::NpyWriter writer_;
};

}  // namespace

std::unique_ptr<VectorWriter> make_vector_writer(const std::string& format, const std::string& file,
                                                 int64_t width, std::ostream& out) {
  if (format == "csv") return std::make_unique<TextWriter>(csv_heading(width), csv_line, file, out);
  if (format == "jsonl") return std::make_unique<TextWriter>("", json_line, file, out);
  return std::make_unique<ArrayWriter>(file, width);
}

}  // namespace lowrank::cli
