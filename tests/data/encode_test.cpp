// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/error.h"
#include "lowrank/data/batch.h"
#include "lowrank/text/tokenizer_files.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

const text::ByteTokenizer kTokenizer;

Example example_of(const std::string& text, const std::string& pair = {}) {
  return {.text = text, .pair = pair, .label = 2, .source = "file.tsv:7"};
}

std::string shown(const EncodedExample& encoded) { return kTokenizer.decode(encoded.tokens); }

TEST(Encode, GivesTheTokensOfTheText) {
  const EncodedExample encoded = encode(example_of("ab"), kTokenizer, {});
  EXPECT_THAT(encoded.tokens, ElementsAre('a', 'b'));
  EXPECT_THAT(encoded.segments, IsEmpty());
}

TEST(Encode, PutsSpecialTokensAroundTheTexts) {
  const BatchOptions options{.special_tokens = true};
  EXPECT_EQ(shown(encode(example_of("ab"), kTokenizer, options)), "[CLS]ab[SEP]");
  const EncodedExample pair = encode(example_of("ab", "c"), kTokenizer, options);
  EXPECT_EQ(shown(pair), "[CLS]ab[SEP]c[SEP]");
  EXPECT_THAT(pair.segments, ElementsAre(0, 0, 0, 0, 1, 1));
}

TEST(Encode, KeepsTheBeginningOfALongerText) {
  EXPECT_EQ(shown(encode(example_of("abcdef"), kTokenizer, {.max_length = 4})), "abcd");
  EXPECT_EQ(
      shown(encode(example_of("abcdef"), kTokenizer, {.max_length = 4, .special_tokens = true})),
      "[CLS]ab[SEP]");
}

TEST(Encode, SaysWhetherATextWasTruncated) {
  const BatchOptions options{.max_length = 4};
  EXPECT_FALSE(encode(example_of("abcd"), kTokenizer, options).truncated);
  EXPECT_TRUE(encode(example_of("abcde"), kTokenizer, options).truncated);
  EXPECT_TRUE(encode(example_of("abc", "xy"), kTokenizer, options).truncated);
}

TEST(Encode, CutsTheLongerTextOfAPairFirst) {
  const auto cut = [](const std::string& text, const std::string& pair) {
    const EncodedExample encoded =
        encode(example_of(text, pair), kTokenizer, {.max_length = 9, .special_tokens = true});
    EXPECT_LE(encoded.tokens.size(), 9u);
    return shown(encoded);
  };
  EXPECT_EQ(cut("abc", "xyz"), "[CLS]abc[SEP]xyz[SEP]");
  EXPECT_EQ(cut("abcdef", "xy"), "[CLS]abcd[SEP]xy[SEP]");
  EXPECT_EQ(cut("ab", "uvwxyz"), "[CLS]ab[SEP]uvwx[SEP]");
  EXPECT_EQ(cut("abcdef", "uvwxyz"), "[CLS]abc[SEP]uvw[SEP]");
}

TEST(Encode, NamesSourceAndBothLengthsOfALongerTextOnRequest) {
  EXPECT_THAT(
      [] { encode(example_of("abcdef"), kTokenizer, {.max_length = 4, .on_overflow = "error"}); },
      ThrowsMessage<Error>("file.tsv:7: 6 tokens; max_length = 4. Raise max_length, or set "
                           "on_overflow = \"truncate\" or \"chunk\"."));
  EXPECT_EQ(
      shown(encode(example_of("abcd"), kTokenizer, {.max_length = 4, .on_overflow = "error"})),
      "abcd");
}

TEST(Encode, NamesAnEmptyTextAndSpecialTokensThatLeaveNoRoom) {
  EXPECT_THAT([] { encode(example_of(""), kTokenizer, {.special_tokens = true}); },
              ThrowsMessage<Error>(HasSubstr("file.tsv:7: the text is empty")));
  EXPECT_THAT(
      [] { encode(example_of("a"), kTokenizer, {.max_length = 2, .special_tokens = true}); },
      ThrowsMessage<Error>(HasSubstr("max_length = 2; special tokens leave no room")));
  const Dataset dataset{.examples = {example_of("abc")}, .classes = {}};
  EXPECT_THAT([&] { chunk(dataset, kTokenizer, {.max_length = 2, .special_tokens = true}); },
              ThrowsMessage<Error>(HasSubstr("max_length = 2; special tokens leave no room")));
}

TEST(Chunk, CutsLongerTextsIntoConsecutiveExamples) {
  const Dataset dataset{.examples = {example_of("abcdefg"), example_of("hij")}, .classes = {"x"}};
  const BatchOptions options{.max_length = 5, .on_overflow = "chunk", .special_tokens = true};
  const Dataset chunked = chunk(dataset, kTokenizer, options);
  std::vector<std::string> texts;
  for (const Example& example : chunked.examples) {
    texts.push_back(example.text);
    EXPECT_EQ(example.label, 2);
    EXPECT_EQ(example.source, "file.tsv:7");
    EXPECT_LE(encode(example, kTokenizer, options).tokens.size(), 5u);
  }
  EXPECT_THAT(texts, ElementsAre("abc", "def", "g", "hij"));
  EXPECT_EQ(chunked.classes, dataset.classes);
}

std::shared_ptr<const text::Tokenizer> loaded(const testing::json& description) {
  const testing::TemporaryFolder folder;
  folder.write("tokenizer.json", description.dump());
  return text::load_tokenizer(folder.path());
}

TEST(Encode, FollowsTheTokenizersTemplate) {
  testing::json description = testing::small_word_piece();
  description["post_processor"]["type"] = "RobertaProcessing";
  const auto roberta = loaded(description);
  const BatchOptions options{.max_length = 7, .special_tokens = true};
  const EncodedExample encoded = encode(example_of("a a a", "b, b"), *roberta, options);
  EXPECT_THAT(encoded.tokens, ElementsAre(2, 6, 3, 3, 8, 9, 3));
  const auto gpt = loaded(testing::small_byte_pair());
  EXPECT_THAT(encode(example_of("he", "ll"), *gpt, options).tokens, ElementsAre(256, 258));
}

// The text of a tokenizer that does not give back what it encoded is cut itself.
TEST(Chunk, KeepsEveryByteOfATextThatDecodingWouldChange) {
  const std::string text =
      "  Unable caf\xC3\xA9,a bun ba\xFF"
      "b Unable\n";
  const auto tokenizer = loaded(testing::small_word_piece());
  const Dataset dataset{.examples = {example_of(text)}, .classes = {}};
  for (int64_t room = 1; room <= 12; ++room) {
    const BatchOptions options{.max_length = room + 2, .special_tokens = true};
    const Dataset chunked = chunk(dataset, *tokenizer, options);
    std::string joined;
    for (const Example& example : chunked.examples) {
      joined += example.text;
      EXPECT_LE(std::ssize(tokenizer->encode(example.text)), room) << example.text;
    }
    EXPECT_EQ(joined, text) << room;
  }
}

TEST(Chunk, LeavesACharacterOfMoreTokensThanFitWhole) {
  const auto tokenizer = loaded([] {
    testing::json description = testing::small_unigram();
    description["normalizer"] = {{"type", "NFKC"}};
    return description;
  }());
  const std::string letters = "\xE2\x84\x93\xE2\x84\x93";  // two script letters l
  const Dataset dataset{.examples = {example_of(letters)}, .classes = {}};
  std::string joined;
  for (const Example& example : chunk(dataset, *tokenizer, {.max_length = 1}).examples) {
    joined += example.text;
  }
  EXPECT_EQ(joined, letters);
}

TEST(Encode, CutsLabelledWordsWithTheirLabels) {
  const Example example{.text = "ab cd ef", .words = {{0, 2, 5}, {3, 5, 6}, {6, 8, 7}}};
  BatchOptions options;
  options.max_length = 4;
  options.random_window = 1;
  const EncodedExample encoded = encode(example, *text::make_tokenizer("bytes"), options, 77);
  EXPECT_TRUE(encoded.truncated);
  EXPECT_EQ(encoded.tokens, (std::vector<int64_t>{'a', 'b', ' ', 'c'}));
  EXPECT_EQ(encoded.labels, (std::vector<int64_t>{5, -100, -100, 6}));
}

TEST(Chunk, LeavesPairsWholeForEncodeToName) {
  const Dataset dataset{.examples = {example_of("abcdef", "x")}, .classes = {}};
  const BatchOptions options{.max_length = 4, .on_overflow = "chunk"};
  const Dataset chunked = chunk(dataset, kTokenizer, options);
  ASSERT_EQ(chunked.examples.size(), 1u);
  EXPECT_THAT([&] { encode(chunked.examples[0], kTokenizer, options); },
              ThrowsMessage<Error>(HasSubstr("7 tokens; max_length = 4. Raise max_length, or set "
                                             "on_overflow = \"truncate\".")));
}

std::string rejoined(std::string_view text) {
  const auto [first, second] = halves(text);
  return std::string(first) + "|" + std::string(second);
}

TEST(Halves, CutAtTheSentenceNearestToTheMiddleElseAtAWordElseAnywhere) {
  EXPECT_EQ(rejoined("One is. Two is longer. Three."), "One is.| Two is longer. Three.");
  EXPECT_EQ(rejoined("first line\nsecond line"), "first line\n|second line");
  EXPECT_EQ(rejoined("one two three four"), "one two| three four");
  EXPECT_EQ(rejoined("Oh. A sentence whose end is too far away"),
            "Oh. A sentence whose| end is too far away");
  EXPECT_EQ(rejoined("abcdef"), "abc|def");
  EXPECT_EQ(rejoined("\xC3\xA9\xC3\xA9"), "\xC3\xA9|\xC3\xA9");
  EXPECT_EQ(rejoined("a"), "a|");
  EXPECT_EQ(rejoined(""), "|");
}

TEST(Pack, FillsSequencesAcrossTheEndsOfDocuments) {
  const Dataset dataset{.examples = {example_of("abcdef"), example_of("gh"), example_of("ijklm")},
                        .classes = {"x"}};
  const Dataset packed = pack(dataset, kTokenizer, {.max_length = 6, .special_tokens = true});
  std::vector<std::string> texts;
  for (const Example& example : packed.examples) texts.push_back(example.text);
  EXPECT_THAT(texts, ElementsAre("abcd", "ef\n\n", "gh\n\n", "ijkl", "m"));
  EXPECT_EQ(packed.examples[0].source, "file.tsv:7");
  EXPECT_EQ(packed.examples[0].label, -1);
}

TEST(Pack, RefusesPairs) {
  const Dataset dataset{.examples = {example_of("ab", "c")}, .classes = {}};
  EXPECT_THAT([&] { pack(dataset, kTokenizer, {}); },
              ThrowsMessage<Error>(HasSubstr("file.tsv:7: a pair")));
}

}  // namespace
}  // namespace lowrank::data
