// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/event_file.h"

#include <gmock/gmock.h>

#include <cstring>
#include <optional>
#include <protozero/pbf_reader.hpp>
#include <set>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::io {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

// Bit by bit, straight from the definition: shares nothing with the writer's table.
uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
  }
  return crc ^ 0xffffffff;
}

uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

template <class Number>
Number take(std::string_view& bytes) {
  Number number;
  if (bytes.size() < sizeof number) throw Error("a record is cut");
  std::memcpy(&number, bytes.data(), sizeof number);
  bytes.remove_prefix(sizeof number);
  return number;
}

struct Event {
  double wall_time = 0;
  int64_t step = 0;
  std::string file_version, tag;
  std::optional<float> value;
  bool starts_session = false;
};

Event parse_event(std::string_view bytes) {
  Event event;
  for (protozero::pbf_reader reader(bytes.data(), bytes.size()); reader.next();) {
    switch (reader.tag()) {
      case 1:
        event.wall_time = reader.get_double();
        break;
      case 2:
        event.step = reader.get_int64();
        break;
      case 3:
        event.file_version = reader.get_string();
        break;
      case 5: {
        protozero::pbf_reader summary = reader.get_message();
        EXPECT_TRUE(summary.next(1));
        protozero::pbf_reader value = summary.get_message();
        EXPECT_TRUE(value.next(1));
        event.tag = value.get_string();
        EXPECT_TRUE(value.next(2));
        event.value = value.get_float();
        break;
      }
      case 7: {
        protozero::pbf_reader log = reader.get_message();
        event.starts_session = log.next(1) && log.get_enum() == 1;
        break;
      }
      default:
        ADD_FAILURE() << "unknown field " << reader.tag();
        reader.skip();
    }
  }
  return event;
}

std::vector<Event> parse_file(const fs::path& path) {
  const std::string content = read_file(path);
  std::vector<Event> events;
  for (std::string_view rest = content; !rest.empty();) {
    const std::string_view length_bytes = rest.substr(0, 8);
    const uint64_t length = take<uint64_t>(rest);
    EXPECT_EQ(take<uint32_t>(rest), masked(crc32c(length_bytes)));
    const std::string_view event = rest.substr(0, length);
    rest.remove_prefix(event.size());
    EXPECT_EQ(take<uint32_t>(rest), masked(crc32c(event)));
    events.push_back(parse_event(event));
  }
  return events;
}

TEST(Crc32c, OfTheTestsAgreesWithThePublishedValue) { EXPECT_EQ(crc32c("123456789"), 0xe3069283u); }

TEST(EventFile, BeginsWithItsVersion) {
  const TemporaryFolder folder;
  const EventFile file(folder.path());
  EXPECT_THAT(file.path().filename().string(), ::testing::StartsWith("events.out.tfevents."));
  const std::vector<Event> events = parse_file(file.path());
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].file_version, "brain.Event:2");
  EXPECT_GT(events[0].wall_time, 1.7e9);
}

TEST(EventFile, HoldsEachScalarWithItsTagAndStep) {
  const TemporaryFolder folder;
  EventFile file(folder.path());
  file.scalar("loss/train", 3, 0.25);
  file.scalar("", int64_t{1} << 40, -1e300);
  file.flush();
  const std::vector<Event> events = parse_file(file.path());
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2].tag, "loss/train");
  EXPECT_EQ(events[2].step, 3);
  EXPECT_EQ(events[2].value, 0.25f);
  EXPECT_EQ(events[3].tag, "");
  EXPECT_EQ(events[3].step, int64_t{1} << 40);
  EXPECT_EQ(events[3].value, -std::numeric_limits<float>::infinity());
}

TEST(EventFile, SaysOnceAtWhichStepItTakesOver) {
  const TemporaryFolder folder;
  EventFile file(folder.path());
  file.scalar("loss", 500, 1);
  file.scalar("loss", 501, 1);
  file.flush();
  const std::vector<Event> events = parse_file(file.path());
  ASSERT_EQ(events.size(), 4u);
  EXPECT_TRUE(events[1].starts_session);
  EXPECT_EQ(events[1].step, 500);
  EXPECT_FALSE(events[2].starts_session);
  EXPECT_FALSE(events[3].starts_session);
}

TEST(EventFile, LeavesTheFilesOfEarlierSittingsAlone) {
  const TemporaryFolder folder;
  EventFile first(folder.path());
  first.scalar("loss", 1, 1);
  first.flush();
  const std::string before = read_file(first.path());
  EventFile second(folder.path());
  second.scalar("loss", 2, 1);
  second.flush();
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(read_file(first.path()), before);
  EXPECT_EQ(parse_file(second.path()).size(), 3u);
}

TEST(EventFile, RefusesAFolderThatIsNotThere) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { EventFile(folder.path() / "absent"); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("cannot be written")));
}

}  // namespace
}  // namespace lowrank::io
