// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "lowrank/base/error.h"
#include "lowrank/data/dataset.h"
#include "tests/support/temporary_folder.h"

namespace {

using namespace lowrank;

// The bytes after the first under a name that ends as the first says, since packed files are told by it.
std::string write(const uint8_t* data, size_t size) {
  static const testing::TemporaryFolder folder;
  const char* const endings[] = {"", ".gz", ".xz"};
  return folder.write(std::string("train") + endings[data[0] / 8 % 3],
                      {reinterpret_cast<const char*>(data) + 1, size - 1});
}

}  // namespace

// Any bytes as a file of a data set, of a format and packing that the first byte chooses: one sentence, or
// examples whose labels are classes and whose words lie in their text, one after the other.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  data::DataOptions options;
  const data::Format formats[] = {data::Format::kTsv, data::Format::kJsonl, data::Format::kText,
                                  data::Format::kConll};
  options.format = formats[data[0] % 4];
  const bool has_columns =
      options.format == data::Format::kTsv || options.format == data::Format::kJsonl;
  if (has_columns && data[0] / 4 % 2 == 1) options.label_kind = data::LabelKind::kNumber;
  options.train = {write(data, size)};
  options.min_classes = 1;
  options.skip_bad = data[0] >= 128;
  options.validation_share = options.test_share = 0;
  try {
    const data::Splits splits = data::load_splits(options);
    const auto classes = static_cast<int64_t>(splits.train.classes.size());
    for (const data::Example& example : splits.train.examples) {
      if (example.label >= classes) std::abort();
      int64_t end = 0;
      for (const data::Word& word : example.words) {
        if (word.begin < end || word.end <= word.begin || word.label >= classes) std::abort();
        end = word.end;
      }
      if (end > static_cast<int64_t>(example.text.size())) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
