// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/generate.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <unordered_set>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/data/parallel.h"

namespace lowrank::data {
namespace {

constexpr int64_t kTogether = 256;  // examples that are drawn on all cores, and then written

// The streams of random numbers of an example: a splitmix of these numbers.
enum class Stream : uint64_t { kListOps = 1, kPathfinder = 2, kOrder = 3 };

Random random_of(Stream stream, uint64_t seed, int64_t example, int64_t attempt = 0) {
  return Random({seed, static_cast<uint64_t>(stream), static_cast<uint64_t>(example),
                 static_cast<uint64_t>(attempt)});
}

struct File {
  const char* name;
  int64_t examples;
};

// Writes each file's examples in runs of kTogether. `make` gets the number of a run's first example,
// counted over all files, and of its examples, and gives their bytes.
template <class Make>
void write_files(const std::filesystem::path& folder, const std::vector<File>& files,
                 const std::string& heading, const GenerateProgress& progress, const Make& make) {
  std::filesystem::create_directories(folder);
  int64_t total = 0, done = 0;
  for (const File& file : files) total += file.examples;
  for (const File& file : files) {
    AtomicFile target(folder / file.name);
    target.write(heading);
    for (int64_t left = file.examples; left > 0;) {
      const int64_t count = std::min(left, kTogether);
      target.write(make(done, count));
      left -= count;
      done += count;
      if (progress) progress(done, total);
    }
    target.commit();
  }
}

// Draws expressions none of which occurs twice.
class ListOpsWriter {
 public:
  ListOpsWriter(const ListOpsOptions& options, uint64_t seed) : options_(options), seed_(seed) {}

  std::string lines(int64_t first, int64_t count) {
    std::vector<ListOpsExample> drawn(static_cast<size_t>(count));
    for_each_index(count, [&](int64_t i) {
      Random random = random_of(Stream::kListOps, seed_, first + i);
      drawn[static_cast<size_t>(i)] = draw_listops(options_, random);
    });
    std::string text;
    for (int64_t i = 0; i < count; ++i) {
      ListOpsExample& example = drawn[static_cast<size_t>(i)];
      make_new(example, first + i);
      text += fmt::format("{}\t{}\n", example.expression, example.value);
    }
    return text;
  }

 private:
  void make_new(ListOpsExample& example, int64_t number) {
    constexpr int64_t kAttempts = 1000;
    for (int64_t attempt = 0;; ++attempt) {
      const std::string& text = example.expression;
      if (known_.insert(XXH3_64bits(text.data(), text.size())).second) return;
      if (attempt == kAttempts) {
        throw Error(
            fmt::format("listops: of {} expressions drawn one after the other none is new after {} "
                        "examples. Ask for fewer, or allow other lengths.",
                        kAttempts, number));
      }
      Random random = random_of(Stream::kListOps, seed_, number, attempt + 1);
      example = draw_listops(options_, random);
    }
  }

  const ListOpsOptions& options_;
  uint64_t seed_;
  std::unordered_set<uint64_t> known_;  // hashes
};

// Of each two images one is connected; which of them, chance says.
bool is_connected(uint64_t seed, int64_t image) {
  Random random = random_of(Stream::kOrder, seed, image / 2);
  return static_cast<uint64_t>(image % 2) == random.below(2);
}

}  // namespace

void write_listops(const std::filesystem::path& folder, const GeneratedSize& size,
                   const ListOpsOptions& options, const GenerateProgress& progress) {
  check(options);
  ListOpsWriter writer(options, size.seed);
  const std::vector<File> files = {{"basic_train.tsv", size.train},
                                   {"basic_val.tsv", size.validation},
                                   {"basic_test.tsv", size.test}};
  write_files(folder, files, "Source\tTarget\n", progress,
              [&](int64_t first, int64_t count) { return writer.lines(first, count); });
}

void write_pathfinder(const std::filesystem::path& folder, const GeneratedSize& size,
                      const PathfinderOptions& options, const GenerateProgress& progress) {
  const PathfinderGenerator checked(options);
  // A generator for each run of images that is drawn together: they remember the dashes they drew.
  constexpr int64_t kRun = 16;
  const auto records = [&](int64_t first, int64_t count) {
    std::vector<std::string> drawn(static_cast<size_t>(count));
    for_each_index((count + kRun - 1) / kRun, [&](int64_t run) {
      PathfinderGenerator generator(options);
      for (int64_t i = run * kRun; i < std::min(count, (run + 1) * kRun); ++i) {
        const bool connected = is_connected(size.seed, first + i);
        Random random = random_of(Stream::kPathfinder, size.seed, first + i);
        drawn[static_cast<size_t>(i)] =
            gray_record(generator.draw(connected, random).pixels, connected ? 1 : 0);
      }
    });
    std::string bytes;
    for (const std::string& record : drawn) bytes += record;
    return bytes;
  };
  const std::vector<File> files = {
      {"train.bin", size.train}, {"validation.bin", size.validation}, {"test.bin", size.test}};
  write_files(folder, files, "", progress, records);
}

ImageSheet sheet_of(const std::filesystem::path& images, int64_t columns) {
  const std::vector<Row> rows = read_image_rows(images.string());
  const int64_t shown = std::min(std::ssize(rows), columns * columns);
  const int64_t across = std::min(shown, columns), down = (shown + across - 1) / across;
  constexpr int64_t kStep = kImageSide + 2;
  constexpr uint8_t kLine = 96;
  ImageSheet sheet{.width = across * kStep};
  sheet.pixels.assign(static_cast<size_t>(sheet.width * down * kStep), kLine);
  for (int64_t i = 0; i < shown; ++i) {
    const std::string& pixels = rows[static_cast<size_t>(i)].text;
    for (int64_t y = 0; y < kImageSide; ++y) {
      const int64_t place = (i / across * kStep + y) * sheet.width + i % across * kStep;
      std::copy_n(pixels.begin() + y * kImageSide, kImageSide, sheet.pixels.begin() + place);
    }
  }
  return sheet;
}

}  // namespace lowrank::data
