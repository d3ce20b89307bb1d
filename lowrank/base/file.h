// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace lowrank {

// The first `limit` bytes of a file. Throws Error naming the file and the system's reason.
std::string read_file(const std::filesystem::path& path,
                      size_t limit = std::numeric_limits<size_t>::max());

// Replaces `path` with `content`: written beside it, flushed to disk, renamed. A reader sees the old
// file or the new one, whatever interrupts this. Throws Error (disk full, no permission) and leaves
// the old file as it was.
void replace_file(const std::filesystem::path& path, std::string_view content);

// Owns an open file's number.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  int number() const { return number_; }  // -1: none
  void close();

 private:
  int number_ = -1;
};

// replace_file in pieces. Write, then commit(), which flushes the file and renames it to `target`;
// without commit() the destructor removes what was written. Leftovers of a killed process
// (target.partial-*) are removed by the next AtomicFile for the same target.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view content);
  // Replaces bytes that were written: for a header whose numbers are known at the end.
  void overwrite(size_t position, std::string_view content);
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path partial_;
  Descriptor file_;
};

// A read-only mapping of a whole file; empty files map to an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// A directory that appears whole or not at all. Write into path(); commit() flushes every file and
// exchanges it with `target` in one step (the old one is removed after), so `target` is always
// complete. Without commit() the destructor removes what was written. Leftovers of a killed process
// (target.partial-*) are removed by the next AtomicDirectory for the same target.
//
// Some network file systems cannot exchange two directories. There commit() moves the old directory
// to target.previous and then the new one to `target`: for that moment a reader finds no `target`,
// never half of one. restore_directory() below mends what a crash in that moment leaves.
class AtomicDirectory {
 public:
  explicit AtomicDirectory(std::filesystem::path target);
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;
  const std::filesystem::path& path() const { return partial_; }
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path partial_;
  Descriptor lock_;  // held while this process writes: a leftover is a folder that nobody locks
};

// Where a crash left target.previous and no `target`, makes the former the latter. To be called
// before reading a directory that AtomicDirectory writes; harmless at any time.
void restore_directory(const std::filesystem::path& target);

// Throws Error unless `folder` (created if absent) can be written and its disk has `bytes` free.
void require_writable(const std::filesystem::path& folder, size_t bytes);

}  // namespace lowrank
