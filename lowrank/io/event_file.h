// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace lowrank::io {

// Writes scalars to a new TensorBoard event file (events.out.tfevents.*) in `folder`. TensorBoard
// shows all files of a folder as one run: a resumed run writes another file, and its first step
// withdraws what older files say of that step and later ones. Format: docs/formats.md. Throws
// lowrank::Error where the file cannot be written.
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
  bool started_ = false;  // the first step is known and written
};

}  // namespace lowrank::io
