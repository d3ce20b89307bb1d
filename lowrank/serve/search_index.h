// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/serve/embed.h"

namespace lowrank::serve {

// A number that tells models apart: of the configuration, the weights as they are loaded, and the
// tokenizer's pieces. 16 hexadecimal digits.
std::string fingerprint(const TextModel& model);

// What the vectors of an index depend on besides the files' text: {"model": fingerprint(), "pooling",
// "on_overflow", "max_length"}.
Json index_settings(const TextModel& model, const EmbedOptions& options);

// A part of a file that has a vector of its own: the bytes [begin, end).
struct Passage {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t tokens = 0;  // of text: its weight in the file's vector
};

struct IndexedFile {
  std::string name;      // within the folder
  int64_t size = 0;      // bytes
  std::string checksum;  // XXH3 of 64 bits, 16 hexadecimal digits
  std::vector<Passage> passages;
  at::Tensor vectors;  // [passages, c] float32, not normalized
};

// kFile: a file's vector is the mean of its passages' by their tokens. kChunk: each passage stands for
// itself.
enum class Granularity { kFile, kChunk };

struct Hit {
  std::string file;
  Passage passage;   // kFile: the file's nearest to the query
  double score = 0;  // cosine of query and file, or of query and passage
};

struct UpdateReport {
  int64_t embedded = 0, kept = 0, removed = 0;  // files
  int64_t skipped = 0;                          // empty or binary ones
  int64_t tokens = 0;                           // embedded
  bool stopped = false;
};

// Called while an index is updated. `done` of `total` bytes have been looked at; returns whether to go
// on.
using IndexProgress = std::function<bool(int64_t done, int64_t total, int64_t tokens)>;

// The vectors of a folder's files. Format: docs/formats.md.
class SearchIndex {
 public:
  explicit SearchIndex(Json settings) : settings_(std::move(settings)) {}

  // Throws Error for a file that is no index, and for one of other settings, naming what differs.
  static SearchIndex load(const std::filesystem::path& path, const Json& settings);
  void save(const std::filesystem::path& path) const;  // in one step

  // Makes the index that of the folder: files whose content it has not are embedded, under any name;
  // files that are gone are dropped. `exclude` is no text: the index itself. Stopped by `progress`, the
  // index holds what was done, and the next update goes on from there. `embedder` must not normalize.
  // A file that cannot be read or cut goes to `complain`.
  UpdateReport update(const std::filesystem::path& folder, const std::filesystem::path& exclude,
                      Embedder& embedder, const Complain& complain,
                      const IndexProgress& progress = {});

  // The `top` best, highest score first. `query` is [c].
  std::vector<Hit> search(const at::Tensor& query, int64_t top, Granularity granularity) const;

  const std::vector<IndexedFile>& files() const { return files_; }

 private:
  Json settings_;
  std::vector<IndexedFile> files_;  // by name
};

}  // namespace lowrank::serve
