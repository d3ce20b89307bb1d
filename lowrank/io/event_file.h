// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace lowrank::io {

// Appends scalars to a TensorBoard event file (events.out.tfevents.*) in `folder`.
class EventFile {
 public:
  explicit EventFile(const std::filesystem::path& folder);
  void scalar(const std::string& tag, int64_t step, double value);
  void flush();
  const std::filesystem::path& path() const { return path_; }

 private:
  void record(const std::string& event);
  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace lowrank::io
