// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/generate_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "lowrank/base/file.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/validators.h"
#include "lowrank/data/generate.h"
#include "lowrank/io/png.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMost = 100'000'000;
constexpr int64_t kSheetColumns = 12;
constexpr data::GeneratedSize kListOpsSize{.train = 96'000, .validation = 2'000, .test = 2'000};
constexpr data::GeneratedSize kPathfinderSize{
    .train = 160'000, .validation = 20'000, .test = 20'000};

data::GeneratedSize size_of(const GenerateFlags& flags, const data::GeneratedSize& published) {
  return {.train = flags.train.value_or(published.train),
          .validation = flags.validation.value_or(published.validation),
          .test = flags.test.value_or(published.test),
          .seed = static_cast<uint64_t>(flags.seed)};
}

// Draws a sheet of the first images that were written.
void draw_sheet(const fs::path& folder, const data::GeneratedSize& size, const Console& console) {
  for (const auto& [count, name] :
       {std::pair{size.train, "train.bin"}, std::pair{size.validation, "validation.bin"},
        std::pair{size.test, "test.bin"}}) {
    if (count == 0) continue;
    const data::ImageSheet sheet = data::sheet_of(folder / name, kSheetColumns);
    replace_file(folder / "sheet.png", io::gray_png(sheet.pixels, sheet.width));
    console.out << fmt::format("picture: {}\n", (folder / "sheet.png").string());
    return;
  }
}

}  // namespace

void add(CLI::App& app, GenerateFlags& flags) {
  app.add_option("SET", flags.set, "listops or pathfinder")
      ->required()
      ->check(one_of({"listops", "pathfinder"}))
      ->type_name("");
  app.add_option("FOLDER", flags.folder, "where the files go")->required()->type_name("");
  const auto count = [&](const char* name, auto& value, const char* description, int64_t least,
                         int64_t most) {
    return app.add_option(name, value, description)
        ->check(whole_number(least, most))
        ->type_name("");
  };
  count("--train", flags.train, "examples to train on; else 96000 or 160000", 0, kMost);
  count("--validation", flags.validation, "validation examples; else 2000 or 20000", 0, kMost);
  count("--test", flags.test, "test examples; else 2000 or 20000", 0, kMost);
  count("--seed", flags.seed, "same seed, same files", 0, kMost)->capture_default_str();
  count("--min-length", flags.min_length, "listops: more symbols than these", 0, kMost)
      ->capture_default_str();
  count("--max-length", flags.max_length, "listops: fewer symbols than these", 2, kMost)
      ->capture_default_str();
  count("--max-depth", flags.max_depth, "listops: depth of the deepest digits", 1, 1000)
      ->capture_default_str();
  count("--max-arguments", flags.max_arguments, "listops: of an operator", 2, 1000)
      ->capture_default_str();
  count("--contour-length", flags.contour_length, "pathfinder: dashes of a path; 6, 9 or 14", 3, 20)
      ->capture_default_str();
  app.footer(
      "EXAMPLES\n"
      "  lowrank generate listops data/lra/listops\n"
      "  lowrank generate pathfinder data/lra/pathfinder --train 20000 --validation 2000");
}

int run(const GenerateFlags& flags, const Console& console) {
  const bool listops = flags.set == "listops";
  const data::GeneratedSize size = size_of(flags, listops ? kListOpsSize : kPathfinderSize);
  ProgressBar bar(console);
  const auto progress = [&](int64_t done, int64_t total) {
    bar.update(static_cast<double>(done) / static_cast<double>(total),
               fmt::format("{} of {}", grouped(done), grouped(total)));
  };
  if (listops) {
    const data::ListOpsOptions options{.min_length = flags.min_length,
                                       .max_length = flags.max_length,
                                       .max_depth = flags.max_depth,
                                       .max_arguments = flags.max_arguments};
    data::write_listops(flags.folder, size, options, progress);
  } else {
    data::write_pathfinder(flags.folder, size, {.contour_length = flags.contour_length}, progress);
  }
  bar.wipe();
  console.out << fmt::format("{}: {} to train on, {} for validation, {} to test in {}\n", flags.set,
                             grouped(size.train), grouped(size.validation), grouped(size.test),
                             flags.folder);
  if (!listops) draw_sheet(flags.folder, size, console);
  return kDone;
}

}  // namespace lowrank::cli
