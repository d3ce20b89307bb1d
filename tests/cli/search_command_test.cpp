// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/search_command.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "lowrank/models/model_directory.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"
#include "tests/support/small_text_model.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class SearchCommand : public ::testing::Test {
 protected:
  SearchCommand() {
    save("model", 1);
    save("other", 2);
    folder_.write("texts/a.txt", "aaaa\n\n  aaaa");
    folder_.write("texts/z.txt", "zzzzzzzzz");
  }

  void save(const std::string& name, uint64_t seed) const {
    at::manual_seed(seed);
    std::filesystem::create_directories(folder_.path() / name);
    models::save_model(models::Model(small_text_config()), folder_.path() / name);
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  Ran search(const std::string& query, const std::vector<std::string>& more = {},
             const std::string& model = "model") const {
    std::vector<std::string> arguments = {"search", path("texts"), query, "--model", path(model)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return lowrank(arguments);
  }

  TemporaryFolder folder_;
};

TEST_F(SearchCommand, PrintsTheNearestFirstWithTheBeginningOfItsPassage) {
  const Ran ran = search("aaaa\n\n  aaaa");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, StartsWith(" 1.000  a.txt  bytes 0 to 12\n        aaaa aaaa\n"));
  EXPECT_THAT(ran.out, HasSubstr("z.txt"));
  EXPECT_EQ(ran.err, "lowrank search: 2 files embedded, 0 known\n");
}

TEST_F(SearchCommand, EmbedsNothingTwiceAndLeavesItsIndexOutOfTheTexts) {
  search("a");
  EXPECT_TRUE(std::filesystem::exists(path("texts/.lowrank-index.safetensors")));
  EXPECT_EQ(search("a").err, "lowrank search: 0 files embedded, 2 known\n");
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(search("a", {"--index", path("texts/visible.safetensors")}).err,
                HasSubstr(i == 0 ? "2 files embedded, 0 known\n" : "0 files embedded, 2 known\n"));
  }
}

TEST_F(SearchCommand, PrintsJsonAndAsManyAsAskedFor) {
  const Ran ran = search("zzzzzzzzz", {"--json", "--top", "1", "--granularity", "chunk"});
  const Json hit = parse_json(ran.out, "search");
  EXPECT_EQ(hit["file"], "z.txt");
  EXPECT_NEAR(hit["score"].get<double>(), 1, 1e-6);
  EXPECT_EQ(hit["begin"], 0);
  EXPECT_EQ(hit["end"], 9);
  EXPECT_EQ(hit["text"], "zzzzzzzzz");
}

TEST_F(SearchCommand, RefusesTheIndexOfAnotherModelUnlessItIsToBeRebuilt) {
  search("a");
  const Ran refused = search("a", {}, "other");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("the index was made with another model"));
  EXPECT_THAT(refused.out, IsEmpty());
  EXPECT_THAT(search("a", {"--rebuild"}, "other").err, HasSubstr("2 files embedded"));
  EXPECT_THAT(search("a", {}, "other").err, HasSubstr("0 files embedded, 2 known"));
}

TEST_F(SearchCommand, GoesOnAfterAnInterrupt) {
  for (int i = 0; i < 40; ++i) {
    folder_.write("texts/" + std::to_string(i) + ".txt", "number " + std::to_string(i));
  }
  SignalOn buffer("tokens embedded", SIGINT);
  std::istringstream in;
  std::ostringstream out;
  std::ostream err(&buffer);
  const int status = cli::run_program(
      {"search", path("texts"), "a", "--model", path("model"), "--token-budget", "10"},
      {in, out, err, true});
  EXPECT_EQ(status, 130);
  EXPECT_THAT(out.str(), IsEmpty());
  const Ran next = search("number 7");
  EXPECT_EQ(next.status, 0) << next.err;
  EXPECT_THAT(next.out, HasSubstr(" 1.000  7.txt"));
}

TEST_F(SearchCommand, NeedsAFolderAndAQuery) {
  const Ran no_folder = lowrank({"search", path("absent"), "a", "--model", path("model")});
  EXPECT_EQ(no_folder.status, 1);
  EXPECT_THAT(no_folder.err, HasSubstr("it is no folder"));
  const Ran no_query = search("");
  EXPECT_EQ(no_query.status, 1);
  EXPECT_THAT(no_query.err, HasSubstr("QUERY is empty"));
}

}  // namespace
}  // namespace lowrank::testing
