// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/info_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;

TEST(InfoCommand, SaysWhatEachOperatorRunsOn) {
  const Ran ran = lowrank({"info"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  for (const char* word : {"LibTorch", "processor", "CPU level", "threads", "BLAS", "CUDA"}) {
    EXPECT_THAT(ran.out, HasSubstr(std::string("\n") + word + " "));
  }
  EXPECT_THAT(ran.out, HasSubstr("\noperator "));
  EXPECT_THAT(ran.out, HasSubstr("\nnystrom_attention "));
}

TEST(InfoCommand, NamesAnImplementationOfEachOperatorAndDtypeInJson) {
  const Json json = parse_json(lowrank({"info", "--json"}).out, "info --json");
  for (const char* op : {"exact_attention", "nystrom_attention", "linformer_attention"}) {
    for (const char* dtype : {"float32", "bfloat16", "float16", "float64"}) {
      EXPECT_FALSE(json["operators"][op][dtype]["taken"].get<std::string>().empty());
    }
  }
}

TEST(InfoCommand, DescribesAModelInWords) {
  const TinyTask task;
  ASSERT_EQ(lowrank({"train", task.recipe(), "--set", "train.steps=1"}).status, 0);
  const Ran ran = lowrank({"info", task.model()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("1 layer of width 16, 2 heads"));
  EXPECT_THAT(ran.out, HasSubstr("nystrom, 8 landmarks"));
  EXPECT_THAT(ran.out, HasSubstr("digits, letters"));
}

}  // namespace
}  // namespace lowrank::testing
