// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/source_files.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/data/glob.h"
#include "lowrank/data/parallel.h"
#include "lowrank/data/strip_comments.h"
#include "lowrank/text/utf8.h"

namespace lowrank::data {
namespace {

struct ClassFile {
  std::string path, label;
};

std::vector<ClassFile> find_class_files(const DataOptions& options, BadRows& bad,
                                        DataReport& report) {
  std::map<std::string, std::vector<std::string>> labels_of;
  for (const auto& [label, patterns] : options.classes) {
    std::vector<std::string> notes;
    for (const std::string& path : find_files(patterns, notes)) labels_of[path].push_back(label);
    for (const std::string& note : notes) {
      report.notes.push_back(fmt::format("Class \"{}\": {}", label, note));
    }
  }

  std::vector<ClassFile> files;
  for (const auto& [path, labels] : labels_of) {
    if (labels.size() == 1) {
      files.push_back({path, labels[0]});
      continue;
    }
    bad.add(
        "in two classes", path,
        fmt::format("the globs of both \"{}\" and \"{}\" match this file; a leading \"!\" takes "
                    "it out of one",
                    labels[0], labels[1]));
  }
  std::vector<std::tuple<uint64_t, size_t>> order;
  for (size_t i = 0; i < files.size(); ++i) {
    order.emplace_back(XXH64(files[i].path.data(), files[i].path.size(), 0), i);
  }
  std::sort(order.begin(), order.end());
  std::vector<ClassFile> ordered;
  for (const auto& [hash, i] : order) ordered.push_back(std::move(files[i]));
  return ordered;
}

struct Content {
  std::string text;
  std::string error;  // why the file could not be read; empty when it could
};

}  // namespace

std::string read_source_file(const std::string& path, const DataOptions& options) {
  const auto limit = static_cast<size_t>(options.max_bytes);
  const std::string content = read_file(path, limit + 1);
  const std::string_view text = text::cut_utf8(content, limit);
  return std::string(options.strip_leading_comments ? strip_leading_comments(text, path) : text);
}

std::vector<Row> read_source_files(const DataOptions& options, BadRows& bad, DataReport& report,
                                   const std::function<void(int64_t, int64_t)>& progress) {
  const std::vector<ClassFile> files = find_class_files(options, bad, report);
  std::vector<Content> contents(files.size());
  const auto read = [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    try {
      contents[at].text = read_source_file(files[at].path, options);
    } catch (const std::exception& error) {
      contents[at].error = error.what();
    }
  };
  for_each_index(static_cast<int64_t>(files.size()), read, progress);

  std::vector<Row> rows;
  int64_t not_utf8 = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    std::string& text = contents[i].text;
    if (!contents[i].error.empty()) {
      bad.add("unreadable file", files[i].path, contents[i].error);
    } else if (options.drop_binary && text.find('\0') != std::string::npos) {
      count_dropped(report, "binary (holds a NUL byte)");
    } else if (text.empty() || static_cast<int64_t>(text.size()) < options.min_bytes) {
      count_dropped(report,
                    fmt::format("shorter than {} bytes", std::max<int64_t>(1, options.min_bytes)));
    } else {
      if (text::find_invalid_utf8(text)) ++not_utf8;
      rows.push_back({std::move(text), {}, files[i].label, files[i].path});
    }
  }
  if (not_utf8 > 0) {
    report.notes.push_back(
        fmt::format("{} files are not UTF-8; their bytes are taken as they are.", not_utf8));
  }
  return rows;
}

}  // namespace lowrank::data
