// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/unpacked.h"

#include <fmt/format.h>
#include <lzma.h>
#include <zlib.h>

#include <algorithm>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"

namespace lowrank::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kStep = size_t{1} << 20;  // bytes unpacked at a time
constexpr size_t kMost = size_t{1} << 30;  // that zlib's 32-bit counts are given at a time
constexpr int kGzipOnly = 16 + MAX_WBITS;  // zlib: a gzip header, the largest window

[[noreturn]] void fail(const fs::path& path) {
  throw Error(fmt::format("{}: the packed data is damaged or cut short. Fetch the file again.",
                          path.string()));
}

const uint8_t* bytes_of(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// Calls step(room, size) with room for more of the result until it returns the bytes that it wrote as 0.
template <class Step>
std::string unpack(size_t limit, const Step& step) {
  std::string result;
  while (result.size() < limit) {
    const size_t size = result.size(), room = std::min(kStep, limit - size);
    result.resize(size + room);
    const size_t written = step(reinterpret_cast<uint8_t*>(result.data()) + size, room);
    result.resize(size + written);
    if (written == 0) break;
  }
  return result;
}

class Gzip {
 public:
  Gzip(const fs::path& path, const std::string& packed) : path_(path), packed_(packed) {
    if (inflateInit2(&stream_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() { inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  size_t operator()(uint8_t* room, size_t size) {
    stream_.next_out = room;
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out > 0) {
      if (ended_) {  // a file may hold several, one after the other
        if (taken_ == packed_.size()) break;
        inflateReset(&stream_);
        ended_ = false;
      }
      const size_t given = std::min(packed_.size() - taken_, kMost);
      stream_.next_in = const_cast<uint8_t*>(bytes_of(packed_)) + taken_;
      stream_.avail_in = static_cast<uInt>(given);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      taken_ += given - stream_.avail_in;
      if (status != Z_OK && status != Z_STREAM_END) fail(path_);
      ended_ = status == Z_STREAM_END;
    }
    return size - stream_.avail_out;
  }

 private:
  const fs::path& path_;
  const std::string& packed_;
  z_stream stream_{};
  size_t taken_ = 0;
  bool ended_ = false;
};

class Xz {
 public:
  Xz(const fs::path& path, const std::string& packed) : path_(path) {
    constexpr uint64_t kMemory = std::numeric_limits<uint64_t>::max();
    if (lzma_stream_decoder(&stream_, kMemory, LZMA_CONCATENATED) != LZMA_OK) {
      throw std::bad_alloc();
    }
    stream_.next_in = bytes_of(packed);
    stream_.avail_in = packed.size();
  }
  ~Xz() { lzma_end(&stream_); }
  Xz(const Xz&) = delete;
  Xz& operator=(const Xz&) = delete;

  size_t operator()(uint8_t* room, size_t size) {
    stream_.next_out = room;
    stream_.avail_out = size;
    while (stream_.avail_out > 0 && !ended_) {
      const lzma_ret status = lzma_code(&stream_, LZMA_FINISH);
      if (status != LZMA_OK && status != LZMA_STREAM_END) fail(path_);
      ended_ = status == LZMA_STREAM_END;
    }
    return size - stream_.avail_out;
  }

 private:
  const fs::path& path_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ended_ = false;
};

}  // namespace

std::string read_unpacked(const fs::path& path, size_t limit) {
  const bool gzip = path.extension() == ".gz", xz = path.extension() == ".xz";
  if (!gzip && !xz) return read_file(path, limit);
  const std::string packed = read_file(path);
  if (gzip) {
    Gzip unpacker(path, packed);
    return unpack(limit, [&](uint8_t* room, size_t size) { return unpacker(room, size); });
  }
  Xz unpacker(path, packed);
  return unpack(limit, [&](uint8_t* room, size_t size) { return unpacker(room, size); });
}

fs::path packed_or_not(const fs::path& path) {
  for (const char* ending : {"", ".xz", ".gz"}) {
    fs::path candidate = path;
    candidate += ending;
    if (fs::exists(candidate)) return candidate;
  }
  return {};
}

}  // namespace lowrank::data
