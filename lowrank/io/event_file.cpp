// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <protozero/pbf_writer.hpp>

#include "lowrank/base/error.h"

namespace lowrank::io {
namespace {

// The numbers of the fields written here, from TensorFlow's event.proto and summary.proto.
namespace event {
constexpr uint32_t kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace session_log {
constexpr uint32_t kStatus = 1;
constexpr int32_t kStart = 1;
}  // namespace session_log
namespace summary {
constexpr uint32_t kValue = 1;
}
namespace summary_value {
constexpr uint32_t kTag = 1, kSimpleValue = 2;
}

constexpr std::array<uint32_t, 256> crc32c_table() {
  constexpr uint32_t kCastagnoli = 0x82f63b78;  // reflected
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kCastagnoli : 0);
    table[byte] = crc;
  }
  return table;
}

// The format's checksum: CRC-32C, rotated and shifted so that a checksum of checksums stays useful.
uint32_t masked_crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = crc32c_table();
  uint32_t crc = ~uint32_t{0};
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

template <class Number>
std::string little_endian(Number number) {
  std::string bytes;
  for (size_t i = 0; i < sizeof number; ++i) {
    bytes.push_back(static_cast<char>(number >> (8 * i) & 0xff));
  }
  return bytes;
}

double seconds_since_epoch() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

// TensorBoard reads a folder's files in the order of their names: the time comes first.
std::filesystem::path unused_path(const std::filesystem::path& folder) {
  const std::string stem =
      fmt::format("events.out.tfevents.{:010}.{}.{}", static_cast<int64_t>(seconds_since_epoch()),
                  host_name(), ::getpid());
  for (int number = 0;; ++number) {
    std::filesystem::path path = folder / fmt::format("{}.{}", stem, number);
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return path;
  }
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder)
    : path_(unused_path(folder)), file_(path_, std::ios::binary) {
  std::string bytes;
  protozero::pbf_writer writer(bytes);
  writer.add_double(event::kWallTime, seconds_since_epoch());
  writer.add_string(event::kFileVersion, "brain.Event:2");
  record(bytes);
  flush();
}

void EventFile::scalar(const std::string& tag, int64_t step, double value) {
  std::string bytes;
  protozero::pbf_writer writer(bytes);
  writer.add_double(event::kWallTime, seconds_since_epoch());
  writer.add_int64(event::kStep, step);
  if (!started_) {
    std::string start = bytes;
    protozero::pbf_writer start_writer(start);
    protozero::pbf_writer log(start_writer, event::kSessionLog);
    log.add_enum(session_log::kStatus, session_log::kStart);
    log.commit();
    record(start);
    started_ = true;
  }
  {
    protozero::pbf_writer summary_writer(writer, event::kSummary);
    protozero::pbf_writer value_writer(summary_writer, summary::kValue);
    value_writer.add_string(summary_value::kTag, tag);
    value_writer.add_float(summary_value::kSimpleValue, static_cast<float>(value));
  }
  record(bytes);
}

void EventFile::record(const std::string& event) {
  const std::string length = little_endian(uint64_t{event.size()});
  file_ << length << little_endian(masked_crc32c(length)) << event
        << little_endian(masked_crc32c(event));
}

void EventFile::flush() {
  file_.flush();
  if (file_) return;
  throw Error(fmt::format("{}: cannot be written. Check the folder, its permissions and its disk.",
                          path_.string()));
}

}  // namespace lowrank::io
