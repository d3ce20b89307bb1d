// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lowrank/base/error.h"
#include "lowrank/models/hugging_face.h"
#include "tests/support/temporary_folder.h"

// Any bytes as the config.json of transformers, in a folder without weights: one sentence, of the configuration or of what
// is missing beside it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lowrank;
  static const testing::TemporaryFolder kFolder;
  // Some file systems flush a file that is cut and written again: 3 ms instead of 50 us.
  std::filesystem::remove(kFolder.path() / "config.json");
  kFolder.write("config.json", {reinterpret_cast<const char*>(data), size});
  try {
    models::load_hugging_face(kFolder.path());
    std::abort();
  } catch (const Error&) {
  }
  return 0;
}
