// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/text/encode.h"
#include "lowrank/text/tokenizer_files.h"
#include "tests/support/packed.h"
#include "tests/support/temporary_folder.h"

// Ids that Hugging Face's tokenizers and others gave for the same vocabularies.
namespace lowrank::text {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Ids = std::vector<int64_t>;
using testing::unpacked;

fs::path shared() {
  const char* folder = std::getenv("LOWRANK_SHARED");
  return folder == nullptr ? fs::path() : fs::path(folder);
}

fs::path vocabularies() { return shared() / "data" / "tokenizers"; }

// A folder with some of a vocabulary's files, as the recording of its name needs it.
class Folder {
 public:
  explicit Folder(const std::string& name, const std::string& config = "") {
    const auto copy = [&](const std::string& file) {
      folder_.write(file, read_file(vocabularies() / name / file));
    };
    if (name == "bert-base-uncased") copy("vocab.txt");
    if (name == "gpt2" || name == "roberta-parts") {
      const std::string from = name == "gpt2" ? name : "roberta-base";
      for (const char* file : {"vocab.json", "merges.txt"}) {
        folder_.write(file, read_file(vocabularies() / from / file));
      }
    }
    if (name == "albert-base") copy("30k-clean.vocab");
    if (name == "sentencepiece_test_model") {
      folder_.write("test_model.model",
                    read_file(vocabularies() / "sentencepiece" / "test_model.model"));
    }
    if (name == "roberta-base" || name == "t5-small") {
      folder_.write("tokenizer.json", unpacked(vocabularies() / name / "tokenizer.json.xz"));
    }
    if (!config.empty()) folder_.write("tokenizer_config.json", config);
  }
  std::shared_ptr<const Tokenizer> load() const { return load_tokenizer(folder_.path()); }

 private:
  testing::TemporaryFolder folder_;
};

Truncation truncation_of(const Json& name) {
  if (name == "only_first") return Truncation::kOnlyFirst;
  if (name == "only_second") return Truncation::kOnlySecond;
  return Truncation::kLongestFirst;
}

// Spans lie in the text, and neither begins nor ends go back.
void expect_ordered(const Tokens& tokens, size_t bytes) {
  ASSERT_EQ(tokens.ids.size(), tokens.spans.size());
  Span last;
  for (const Span& span : tokens.spans) {
    EXPECT_TRUE(span.begin >= last.begin && span.end >= last.end && span.begin <= span.end &&
                span.end <= static_cast<int64_t>(bytes));
    last = span;
  }
}

class GoldenTokenizer : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = shared() / "golden" / "tokenizers" / (std::string(GetParam()) + ".json");
    if (!fs::exists(path_)) {
      GTEST_SKIP() << "no recorded ids: LOWRANK_SHARED has no golden/tokenizers";
    }
    golden_ = Json::parse(read_file(path_));
    tokenizer_ = Folder(GetParam()).load();
  }

  fs::path path_;
  Json golden_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_P(GoldenTokenizer, GivesTheRecordedIdsAndTexts) {
  for (const Json& c : golden_.at("cases")) {
    const auto text = c.at("text").get<std::string>();
    const Encoded encoded = encode(*tokenizer_, text);
    EXPECT_EQ(encoded.ids, c.at("ids").get<Ids>()) << c.at("text");
    const Tokens plain = tokenizer_->encode_with_spans(text);
    EXPECT_EQ(plain.ids, tokenizer_->encode(text));
    if (c.contains("no_special") && c.at("no_special").is_array()) {
      EXPECT_EQ(plain.ids, c.at("no_special").get<Ids>());
    }
    EXPECT_EQ(tokenizer_->decode(plain.ids, /*skip_special=*/true),
              c.at("decode").get<std::string>());
    expect_ordered(plain, text.size());
  }
}

TEST_P(GoldenTokenizer, TruncatesPairsAsRecorded) {
  if (!golden_.contains("pairs")) GTEST_SKIP() << "SentencePiece itself knows no pairs";
  for (const Json& c : golden_.at("pairs")) {
    EncodeOptions options{.truncation = truncation_of(c.at("truncation"))};
    if (!c.at("max_length").is_null()) options.max_length = c.at("max_length");
    const auto text = c.at("text").get<std::string>(), pair = c.at("pair").get<std::string>();
    if (c.contains("error")) {
      EXPECT_THROW(encode(*tokenizer_, text, pair, options), Error) << c;
      continue;
    }
    const Encoded encoded = encode(*tokenizer_, text, pair, options);
    EXPECT_EQ(encoded.ids, c.at("ids").get<Ids>()) << c;
    EXPECT_EQ(encoded.segments, c.at("type_ids").get<Ids>()) << c;
  }
}

TEST_P(GoldenTokenizer, CutsLongTextsIntoTheRecordedWindows) {
  if (!golden_.contains("windows")) GTEST_SKIP() << "SentencePiece itself knows no windows";
  for (const Json& c : golden_.at("windows")) {
    const EncodeOptions options{.max_length = c.at("max_length"), .stride = c.at("stride")};
    const auto text = c.at("text").get<std::string>();
    std::vector<Ids> ids;
    for (const Encoded& window : encode_windows(*tokenizer_, text, std::nullopt, options)) {
      ids.push_back(window.ids);
    }
    EXPECT_EQ(ids, c.at("windows").get<std::vector<Ids>>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer,
                         ::testing::Values("bert-base-uncased", "roberta-base", "gpt2",
                                           "albert-base", "t5-small", "sentencepiece_test_model"),
                         [](const auto& name) {
                           std::string words = name.param;
                           std::replace(words.begin(), words.end(), '-', '_');
                           return words;
                         });

// `inline_special`: what tokenizers 0.23.3 gives for the case that spells out a special token. The file
// follows another program there, which takes away the space before such a token.
struct Vectors {
  const char* file;
  const char* vocabulary;
  const char* config = "";
  Ids inline_special = {};
};

class TestVectors : public ::testing::TestWithParam<Vectors> {};

TEST_P(TestVectors, GiveTheirIds) {
  const fs::path path = vocabularies() / "test_vectors" / GetParam().file;
  if (!fs::exists(path)) GTEST_SKIP() << "no test vectors: LOWRANK_SHARED has no data/tokenizers";
  const Json document = Json::parse(read_file(path));
  const auto tokenizer = Folder(GetParam().vocabulary, GetParam().config).load();
  const EncodeOptions options{.special_tokens = document.at("add_special_tokens")};
  for (const Json& c : document.at("cases")) {
    const auto text = c.at("text").get<std::string>();
    const bool spells_special =
        text.find("</s>") != std::string::npos || text.find("<|endoftext|>") != std::string::npos;
    const Ids expected = spells_special ? GetParam().inline_special : c.at("ids").get<Ids>();
    EXPECT_EQ(encode(*tokenizer, text, options).ids, expected) << c.at("text");
  }
}

const Ids kGpt2Special = {128, 108,  82,  294,   0,     82,  220,   220, 220, 172, 102,
                          116, 121,  220, 50256, 18074, 118, 25370, 254, 129, 241, 220,
                          471, 4743, 73,  50256, 32790, 72,  38325, 220, 220, 288, 157,
                          118, 98,   84,  299,   157,   118, 115,   782};
const Ids kRobertaSpecial = {0,     4236,  7487,  29,   3553, 328,   29,   1437, 1437,  1437, 49585,
                             15375, 18537, 10809, 1437, 2,    46927, 3070, 2742, 21402, 1277, 9085,
                             1437,  121,   7210,  267,  2,    2742,  5543, 118,  4807,  1437, 1437,
                             385,   1376,  3070,  8210, 257,  295,   1376, 3070, 18400, 2590, 2};

INSTANTIATE_TEST_SUITE_P(
    All, TestVectors,
    ::testing::Values(Vectors{"albert_uncased_rust_tokenizers.json", "albert-base"},
                      Vectors{"bert_uncased_llamacpp.json", "bert-base-uncased"},
                      Vectors{"bert_uncased_rust_tokenizers.json", "bert-base-uncased"},
                      Vectors{"gpt2_cased_rust_tokenizers.json", "gpt2", "", kGpt2Special},
                      Vectors{"gpt2_llamacpp.json", "gpt2"},
                      Vectors{"roberta_cased_rust_tokenizers.json", "roberta-parts",
                              R"({"add_prefix_space": true})", kRobertaSpecial},
                      Vectors{"roberta_llamacpp.json", "roberta-parts"}),
    [](const auto& name) {
      const std::string file = name.param.file;
      return file.substr(0, file.find('.'));
    });

}  // namespace
}  // namespace lowrank::text
