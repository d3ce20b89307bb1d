// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "lowrank/base/error.h"

// Note [Partial files]
// What is being written lies beside its target as <target>.partial-<number>, locked with flock()
// by the process that writes it. The kernel drops the lock when the process ends, however it ends,
// so a partial file that can be locked is a leftover. A process number in the name would not do:
// numbers are reused (in a container the same one each time) and mean nothing on another machine.
// Where a file system cannot lock, leftovers stay.

namespace lowrank {
namespace {

namespace fs = std::filesystem;

const char* remedy(int code) {
  switch (code) {
    case ENOENT:
    case ENOTDIR:
      return "Check the path.";
    case EACCES:
    case EPERM:
    case EROFS:
      return "Check its permissions and owner, or choose another folder.";
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "Free some space, or choose another disk.";
    case EISDIR:
      return "Name a file in it.";
    default:
      return "Check the file and its disk.";
  }
}

[[noreturn]] void fail(const fs::path& path, const char* action, int code = errno) {
  throw Error(fmt::format("{}: cannot {}: {}. {}", path.string(), action,
                          std::generic_category().message(code), remedy(code)));
}

Descriptor open_file(const fs::path& path, int flags) {
  return Descriptor(::open(path.c_str(), flags | O_CLOEXEC, 0666));
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// A folder's name without the slash that may end it, beside which its partial folder can stand.
fs::path without_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

void flush_to_disk(const fs::path& path) {
  const Descriptor file = open_file(path, O_RDONLY);
  if (file.number() < 0 || ::fsync(file.number()) != 0) fail(path, "be flushed to disk");
}

void flush_tree_to_disk(const fs::path& folder) try {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_symlink()) continue;
    if (entry.is_regular_file() || entry.is_directory()) flush_to_disk(entry.path());
  }
  flush_to_disk(folder);
} catch (const fs::filesystem_error& error) {
  fail(error.path1(), "be flushed to disk", error.code().value());
}

bool is_present(const fs::path& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

// Locks an open file for this process, unless another has locked, removed or renamed it since.
bool lock(const Descriptor& file, const fs::path& path) {
  if (file.number() < 0 || ::flock(file.number(), LOCK_EX | LOCK_NB) != 0) return false;
  struct stat opened, named;
  return ::fstat(file.number(), &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

bool can_lock(const Descriptor& file) {
  return ::flock(file.number(), LOCK_EX | LOCK_NB) == 0 || errno == EWOULDBLOCK;
}

// See Note [Partial files].
void remove_leftovers(const fs::path& target) {
  const std::string prefix = target.filename().string() + ".partial-";
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_of(target), ignored)) {
    const std::string name = entry.path().filename().string();
    const bool partial = name.starts_with(prefix) && name.size() > prefix.size() &&
                         name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
    if (!partial) continue;
    const Descriptor file = open_file(entry.path(), O_RDONLY | O_NOFOLLOW);
    if (lock(file, entry.path())) fs::remove_all(entry.path(), ignored);
  }
}

struct Partial {
  fs::path path;
  Descriptor file;
};

// Makes <target>.partial-<number> with `create`, which returns an open file or -1 with errno set.
template <class Create>
Partial create_partial(const fs::path& target, const Create& create) {
  remove_leftovers(target);
  for (int number = 0;; ++number) {
    Partial partial{target, {}};
    partial.path += fmt::format(".partial-{}", number);
    partial.file = create(partial.path);
    if (partial.file.number() < 0 && errno == EEXIST) continue;
    if (partial.file.number() < 0) fail(target, "be written");
    if (lock(partial.file, partial.path) || !can_lock(partial.file)) return partial;
  }
}

// False where the file system cannot exchange or `to` does not exist.
bool exchange(const fs::path& from, const fs::path& to) {
  return ::syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) ==
         0;
}

bool rename_path(const fs::path& from, const fs::path& to) {
  return ::rename(from.c_str(), to.c_str()) == 0;
}

fs::path previous_of(const fs::path& target) {
  fs::path previous = target;
  previous += ".previous";
  return previous;
}

// Puts `from` in the place of the directory `to`, where they cannot be exchanged.
void replace_in_two_steps(const fs::path& from, const fs::path& to) {
  const fs::path previous = previous_of(to);
  std::error_code ignored;
  // A reader's restore_directory() may come between the two renames; then both are made again.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (is_present(to)) fs::remove_all(previous, ignored);
    if (!rename_path(to, previous) && errno != ENOENT) break;
    if (rename_path(from, to)) {
      flush_to_disk(folder_of(to));
      fs::remove_all(previous, ignored);
      return;
    }
    if (errno != ENOTEMPTY && errno != EEXIST) break;
  }
  const int code = errno;
  restore_directory(to);
  fail(to, "be replaced", code);
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

void Descriptor::close() {
  if (number_ >= 0) ::close(number_);
  number_ = -1;
}

std::string read_file(const fs::path& path, size_t limit) {
  const Descriptor file = open_file(path, O_RDONLY);
  if (file.number() < 0) fail(path, "be opened");
  constexpr size_t kChunk = 1 << 20;
  std::string content;
  while (content.size() < limit) {
    const size_t start = content.size();
    const size_t wanted = std::min(kChunk, limit - start);
    content.resize(start + wanted);
    const ssize_t got = ::read(file.number(), content.data() + start, wanted);
    if (got < 0 && errno != EINTR) fail(path, "be read");
    content.resize(start + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) break;
  }
  return content;
}

void replace_file(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

AtomicFile::AtomicFile(fs::path target) : target_(std::move(target)) {
  Partial partial = create_partial(
      target_, [](const fs::path& path) { return open_file(path, O_WRONLY | O_CREAT | O_EXCL); });
  partial_ = std::move(partial.path);
  file_ = std::move(partial.file);
}

AtomicFile::~AtomicFile() {
  if (!partial_.empty()) ::unlink(partial_.c_str());
}

void AtomicFile::write(std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(file_.number(), content.data(), content.size());
    if (written < 0 && errno != EINTR) fail(target_, "be written");
    content.remove_prefix(static_cast<size_t>(std::max<ssize_t>(written, 0)));
  }
}

void AtomicFile::overwrite(size_t position, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written =
        ::pwrite(file_.number(), content.data(), content.size(), static_cast<off_t>(position));
    if (written < 0 && errno != EINTR) fail(target_, "be written");
    const size_t done = static_cast<size_t>(std::max<ssize_t>(written, 0));
    content.remove_prefix(done);
    position += done;
  }
}

void AtomicFile::commit() {
  if (::fsync(file_.number()) != 0) fail(target_, "be flushed to disk");
  if (!rename_path(partial_, target_)) fail(target_, "be replaced");
  partial_.clear();
  file_.close();
  flush_to_disk(folder_of(target_));
}

MappedFile::MappedFile(const fs::path& path) {
  const Descriptor file = open_file(path, O_RDONLY);
  struct stat status;
  if (file.number() < 0 || ::fstat(file.number(), &status) != 0) fail(path, "be opened");
  if (S_ISDIR(status.st_mode)) fail(path, "be read", EISDIR);
  if (status.st_size == 0) return;
  const size_t size = static_cast<size_t>(status.st_size);
  const void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number(), 0);
  if (start == MAP_FAILED) fail(path, "be mapped into memory");
  bytes_ = {static_cast<const std::byte*>(start), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

AtomicDirectory::AtomicDirectory(fs::path target) : target_(without_slash(target)) {
  restore_directory(target_);
  std::error_code ignored;
  if (is_present(target_) && !fs::is_directory(target_, ignored))
    fail(target_, "be replaced", ENOTDIR);
  Partial partial = create_partial(target_, [](const fs::path& path) {
    if (::mkdir(path.c_str(), 0777) != 0) return Descriptor();
    return open_file(path, O_RDONLY | O_DIRECTORY);
  });
  partial_ = std::move(partial.path);
  lock_ = std::move(partial.file);
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;
  if (!partial_.empty()) fs::remove_all(partial_, ignored);
}

void AtomicDirectory::commit() {
  flush_tree_to_disk(partial_);
  const bool exchanged = exchange(partial_, target_);
  // Onto a path that does not exist or an empty directory, a plain rename is one step as well.
  if (!exchanged && !rename_path(partial_, target_)) {
    if (errno != ENOTEMPTY && errno != EEXIST) fail(target_, "be replaced");
    replace_in_two_steps(partial_, target_);
  }
  flush_to_disk(folder_of(target_));
  lock_.close();
  std::error_code ignored;
  if (exchanged) fs::remove_all(partial_, ignored);  // the old one; if it stays, it is a leftover
  fs::remove_all(previous_of(target_), ignored);     // that of a writer who was killed
  partial_.clear();
}

void restore_directory(const fs::path& target) {
  const fs::path directory = without_slash(target);
  const fs::path previous = previous_of(directory);
  if (is_present(directory) || !is_present(previous)) return;
  // A directory that appeared meanwhile is not empty, and so is not replaced by this rename.
  if (!rename_path(previous, directory) && errno != ENOTEMPTY && errno != EEXIST &&
      errno != ENOENT) {
    fail(directory, "be restored");
  }
}

void require_writable(const fs::path& folder, size_t bytes) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(folder, "be created", error.value());
  AtomicFile probe(folder / "write_test");  // throws, and leaves nothing behind
  probe.write("x");
  struct statvfs disk;
  if (::statvfs(folder.c_str(), &disk) != 0) fail(folder, "be measured");
  const size_t free = static_cast<size_t>(disk.f_bavail) * disk.f_frsize;
  if (free >= bytes) return;
  throw Error(fmt::format("{}: {} bytes are free on its disk; {} are needed. {}", folder.string(),
                          free, bytes, remedy(ENOSPC)));
}

}  // namespace lowrank
