// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/search_index.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/file.h"
#include "lowrank/io/safetensors.h"
#include "tests/support/small_text_model.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

const EmbedOptions kOptions = {.normalize = false};

class SearchIndexTest : public ::testing::Test {
 protected:
  SearchIndexTest() {
    write("a.txt", "aaaa aaaa");
    write("b.txt", std::string(60, 'b') + " the end");  // three passages of 31, 31 and 6 bytes
    write("c/d.txt", "zzzz");
  }

  void write(const std::string& name, const std::string& text) const {
    folder_.write("texts/" + name, text);
  }
  std::filesystem::path texts() const { return folder_.path() / "texts"; }
  std::filesystem::path path() const { return folder_.path() / "index.safetensors"; }

  UpdateReport update(SearchIndex& index, const IndexProgress& progress = {},
                      int64_t token_budget = 16384) {
    EmbedOptions options = kOptions;
    options.token_budget = token_budget;
    Embedder embedder(model_, options);
    return index.update(
        texts(), path(), embedder,
        [this](const std::string& sentence) { complaints_.push_back(sentence); }, progress);
  }

  at::Tensor vector(const std::string& text) const {
    return Embedder(model_, kOptions).embed(std::vector<std::string>{text})[0];
  }

  static std::vector<std::string> names(const SearchIndex& index) {
    std::vector<std::string> all;
    for (const IndexedFile& file : index.files()) all.push_back(file.name);
    return all;
  }

  const TextModel model_ = testing::small_text_model();
  const Json settings_ = index_settings(model_, kOptions);
  testing::TemporaryFolder folder_;
  std::vector<std::string> complaints_;
};

TEST_F(SearchIndexTest, FindsAFileByItsOwnText) {
  SearchIndex index(settings_);
  const UpdateReport report = update(index);
  EXPECT_EQ(report.embedded, 3);
  EXPECT_THAT(names(index), ElementsAre("a.txt", "b.txt", "c/d.txt"));
  const std::vector<Hit> hits = index.search(vector("zzzz"), 2, Granularity::kFile);
  ASSERT_EQ(hits.size(), 2u);
  EXPECT_EQ(hits[0].file, "c/d.txt");
  EXPECT_NEAR(hits[0].score, 1, 1e-6);
  EXPECT_LE(hits[1].score, hits[0].score);
}

TEST_F(SearchIndexTest, RanksPassagesAndKnowsTheirBytes) {
  SearchIndex index(settings_);
  update(index);
  const std::vector<Hit> hits =
      index.search(vector((std::string(60, 'b') + " the end").substr(62)), 10, Granularity::kChunk);
  ASSERT_EQ(hits.size(), 5u);
  EXPECT_EQ(hits[0].file, "b.txt");
  EXPECT_EQ(hits[0].passage.begin, 62);
  EXPECT_EQ(hits[0].passage.end, 68);
  EXPECT_NEAR(hits[0].score, 1, 1e-6);
}

TEST_F(SearchIndexTest, TakesForAFileTheMeanOfItsPassages) {
  SearchIndex index(settings_);
  update(index);
  const at::Tensor query = vector("b the end"), file = vector(std::string(60, 'b') + " the end");
  const double expected = (at::dot(query, file) / (query.norm() * file.norm())).item<double>();
  for (const Hit& hit : index.search(query, 3, Granularity::kFile)) {
    if (hit.file == "b.txt") {
      EXPECT_NEAR(hit.score, expected, 1e-5);
    }
  }
}

TEST_F(SearchIndexTest, EmbedsOnlyWhatIsNewOrChanged) {
  SearchIndex index(settings_);
  update(index);
  index.save(path());
  const std::string before = read_file(path());

  SearchIndex again = SearchIndex::load(path(), settings_);
  UpdateReport report = update(again);
  EXPECT_EQ(report.embedded, 0);
  EXPECT_EQ(report.kept, 3);
  EXPECT_EQ(report.tokens, 0);
  again.save(path());
  EXPECT_EQ(read_file(path()), before);

  write("a.txt", "changed");
  write("new.txt", "new");
  std::filesystem::rename(texts() / "b.txt", texts() / "moved.txt");
  std::filesystem::remove(texts() / "c/d.txt");
  report = update(again);
  EXPECT_EQ(report.embedded, 2);
  EXPECT_EQ(report.kept, 1);
  EXPECT_EQ(report.removed, 2);  // the old name of the moved one, and c/d.txt
  EXPECT_THAT(names(again), ElementsAre("a.txt", "moved.txt", "new.txt"));

  SearchIndex fresh(settings_);
  update(fresh);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(at::allclose(again.files()[i].vectors, fresh.files()[i].vectors, 0, 1e-6));
  }
}

TEST_F(SearchIndexTest, SkipsWhatIsEmptyOrBinaryAndNamesWhatCannotBeRead) {
  write("blank.txt", " \n");
  write("binary", std::string("a\0b", 3));
  std::filesystem::create_symlink("nowhere", texts() / "link");
  SearchIndex index(settings_);
  const UpdateReport report = update(index);
  EXPECT_EQ(report.skipped, 2);
  EXPECT_EQ(report.embedded, 3);
  EXPECT_THAT(complaints_, ElementsAre(HasSubstr("link")));
}

TEST_F(SearchIndexTest, GoesOnFromWhereItWasStopped) {
  SearchIndex index(settings_);
  // Two files fill the first window of 32 tokens, with 85 of them; then it is stopped.
  const UpdateReport stopped = update(
      index, [](int64_t, int64_t, int64_t tokens) { return tokens <= 85; }, 1);
  EXPECT_EQ(stopped.embedded, 2);
  EXPECT_TRUE(stopped.stopped);
  index.save(path());
  SearchIndex next = SearchIndex::load(path(), settings_);
  const UpdateReport report = update(next);
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.embedded, 1);
  EXPECT_THAT(names(next), ElementsAre("a.txt", "b.txt", "c/d.txt"));
}

TEST_F(SearchIndexTest, KeepsWhatItKnewWhereItIsStoppedAtOnce) {
  SearchIndex index(settings_);
  update(index);
  const UpdateReport stopped = update(index, [](int64_t, int64_t, int64_t) { return false; });
  EXPECT_TRUE(stopped.stopped);
  EXPECT_EQ(index.files().size(), 3u);
  EXPECT_EQ(update(index).kept, 3);
}

TEST_F(SearchIndexTest, RefusesAnotherModelAndOtherSettings) {
  SearchIndex index(settings_);
  update(index);
  index.save(path());
  const TextModel other = testing::small_text_model(testing::small_text_config(), 2);
  EXPECT_THAT([&] { SearchIndex::load(path(), index_settings(other, kOptions)); },
              ThrowsMessage<Error>(HasSubstr("the index was made with another model")));
  EmbedOptions pooled = kOptions;
  pooled.pooling = models::Pooling::kMax;
  EXPECT_THAT([&] { SearchIndex::load(path(), index_settings(model_, pooled)); },
              ThrowsMessage<Error>(HasSubstr("made with pooling = \"mean\", not \"max\"")));
}

TEST_F(SearchIndexTest, RefusesDamagedFiles) {
  const at::Tensor vectors = at::zeros({1, 12}),
                   passages = at::tensor({0, 4, 4}, at::kLong).view({1, 3});
  const auto refusal = [&](const Json& files, const at::Tensor& rows, int version = 1) {
    const Json description = {{"version", version}, {"settings", settings_}, {"files", files}};
    io::save_safetensors(path(), {{"vectors", rows}, {"passages", passages}},
                         {{"lowrank.search_index", description.dump()}});
    try {
      SearchIndex::load(path(), settings_);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto file = [](int64_t size, int64_t count) {
    return Json{{"name", "a"}, {"size", size}, {"checksum", "0"}, {"passages", count}};
  };
  EXPECT_THAT(refusal(Json::array({file(4, 1)}), vectors), IsEmpty());
  EXPECT_THAT(refusal(Json::array({file(3, 1)}), vectors), HasSubstr("a passage outside"));
  EXPECT_THAT(refusal(Json::array({file(4, 2)}), vectors),
              HasSubstr("has 2 passages, 1 rows are left"));
  EXPECT_THAT(refusal(Json::array(), vectors), HasSubstr("1 rows belong to no file"));
  EXPECT_THAT(refusal(Json::array({Json{{"name", 5}}}), vectors),
              HasSubstr("missing or mistyped entry"));
  EXPECT_THAT(refusal(Json::array({file(4, 1)}), at::zeros({2, 12})),
              HasSubstr("do not fit each other"));
  EXPECT_THAT(refusal(Json::array({file(4, 1)}), vectors, 2), HasSubstr("its version is not 1"));
  io::save_safetensors(path(), {{"vectors", vectors}});
  EXPECT_THAT([&] { SearchIndex::load(path(), settings_); },
              ThrowsMessage<Error>(HasSubstr("it has no list of files")));
}

TEST_F(SearchIndexTest, OfAnEmptyFolderSavesAndLoads) {
  std::filesystem::remove_all(texts());
  std::filesystem::create_directories(texts());
  SearchIndex index(settings_);
  update(index);
  index.save(path());
  EXPECT_THAT(SearchIndex::load(path(), settings_).search(vector("a"), 3, Granularity::kFile),
              IsEmpty());
}

}  // namespace
}  // namespace lowrank::serve
