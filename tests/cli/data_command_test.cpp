// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/data_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;

TEST(DataCommand, PrintsCountsLengthsWhatWasLeftOutAndExamples) {
  const TinyTask task;
  write_text(task.path("digits/copy.txt"), TinyTask::text('0', 7));
  const Ran ran = lowrank({"data", task.recipe()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("class    train  validation  test  all\n"));
  EXPECT_THAT(ran.out, HasSubstr("\nall "));
  EXPECT_THAT(ran.out, HasSubstr("\nbytes "));
  EXPECT_THAT(ran.out, HasSubstr("\ntokens "));
  EXPECT_THAT(ran.out, HasSubstr("left out"));
  EXPECT_THAT(ran.out, HasSubstr(task.path("letters/")));
}

TEST(DataCommand, CountsEveryExampleOnceInJson) {
  const TinyTask task;
  const Ran ran = lowrank({"data", task.recipe(), "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const Json json = parse_json(ran.out, "data --json");
  int64_t counted = 0;
  for (const Json& entry : json["classes"]) {
    for (const char* split : {"train", "validation", "test"}) {
      counted += entry[split].get<int64_t>();
    }
  }
  EXPECT_EQ(counted, 120);
  EXPECT_EQ(json["bytes"]["shortest"], 90);
  EXPECT_EQ(json["bytes"]["longest"], 109);
  EXPECT_EQ(json["tokens"], json["bytes"]);
  EXPECT_EQ(json["overlong"], 0);
  EXPECT_EQ(json["examples"].size(), 3u);
}

TEST(DataCommand, SaysHowManyExamplesAreTooLong) {
  const TinyTask task;
  const Ran ran = lowrank({"data", task.recipe(), "--set", "data.max_length=100"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("54 examples longer than max_length = 100 tokens"));
}

}  // namespace
}  // namespace lowrank::testing
