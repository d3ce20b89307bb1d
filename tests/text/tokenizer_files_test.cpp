// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/tokenizer_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <protozero/pbf_writer.hpp>
#include <thread>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/text/encode.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::text {
namespace {

using lowrank::testing::json;
using lowrank::testing::small_byte_pair;
using lowrank::testing::small_unigram;
using lowrank::testing::small_word_piece;
using lowrank::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

using Files = std::vector<std::pair<std::string, std::string>>;

std::shared_ptr<const Tokenizer> load(const Files& files) {
  const TemporaryFolder folder;
  for (const auto& [name, content] : files) folder.write(name, content);
  return load_tokenizer(folder.path());
}

std::shared_ptr<const Tokenizer> load(const json& description, const std::string& config = "{}") {
  return load(Files{{"tokenizer.json", description.dump()}, {"tokenizer_config.json", config}});
}

// The sentence that loading fails with.
std::string failure(const Files& files) {
  try {
    load(files);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}
std::string failure(const json& description) {
  return failure(Files{{"tokenizer.json", description.dump()}});
}

std::vector<std::string> pieces(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> all;
  for (const int64_t id : tokenizer.encode(text)) all.push_back(tokenizer.token(id));
  return all;
}

std::vector<std::string> spanned(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> all;
  for (const Span& span : tokenizer.encode_with_spans(text).spans) {
    all.emplace_back(
        text.substr(static_cast<size_t>(span.begin), static_cast<size_t>(span.end - span.begin)));
  }
  return all;
}

TEST(WordPiece, TakesTheLongestPieceAndMarksWhatGoesOn) {
  const auto tokenizer = load(small_word_piece());
  EXPECT_THAT(pieces(*tokenizer, "Unable, ba"), ElementsAre("un", "##able", ",", "b", "##a"));
  EXPECT_THAT(pieces(*tokenizer, "bun"), ElementsAre("[UNK]"));
}

TEST(WordPiece, SpansAreBytesOfTheTextAsItWasWritten) {
  const auto tokenizer = load(small_word_piece());
  EXPECT_THAT(spanned(*tokenizer, "  UNable\tCaf\xC3\xA9, bun"),
              ElementsAre("UN", "able", "Caf\xC3\xA9", ",", "bun"));
}

TEST(WordPiece, CallsAWordOfMoreThanAHundredCharactersUnknown) {
  const auto tokenizer = load(small_word_piece());
  EXPECT_EQ(tokenizer->encode(std::string(100, 'a')).size(), 100u);
  EXPECT_THAT(pieces(*tokenizer, std::string(101, 'a')), ElementsAre("[UNK]"));
}

TEST(WordPiece, LeavesIllFormedBytesOutAsBertDoesReplacementCharacters) {
  const auto tokenizer = load(small_word_piece());
  EXPECT_THAT(pieces(*tokenizer, "\xFF"), IsEmpty());
  EXPECT_THAT(spanned(*tokenizer, "u\xFFn a"), ElementsAre("u\xFFn", "a"));
}

TEST(BytePair, MergesByRank) {
  const auto tokenizer = load(small_byte_pair());
  EXPECT_THAT(tokenizer->encode("hello hell"), ElementsAre(256, 258, 'o', 257, 258));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("hello hell")), "hello hell");
}

TEST(BytePair, KeepsEveryByte) {
  const auto tokenizer = load(small_byte_pair());
  std::string all = "he\xFFhe \xE2\x82";
  for (int byte = 255; byte >= 0; --byte) all += static_cast<char>(byte);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(all)), all);
  std::string joined;
  for (const std::string& part : spanned(*tokenizer, all)) joined += part;
  EXPECT_EQ(joined, all);
}

TEST(BytePair, SpellsALongWordLikeAShortOne) {
  const auto tokenizer = load(small_byte_pair());
  const std::string unit = "hellhe";
  const std::vector<int64_t> short_ids = tokenizer->encode(unit);
  std::string word;
  for (int i = 0; i < 100'000; ++i) word += unit;
  const std::vector<int64_t> ids = tokenizer->encode(word);
  ASSERT_EQ(ids.size(), short_ids.size() * 100'000);
  for (size_t i = 0; i < ids.size(); ++i) ASSERT_EQ(ids[i], short_ids[i % short_ids.size()]);
}

TEST(BytePair, LeavesSpacesOutOfSpansWhereTheFileSaysSo) {
  const auto tokenizer = load(small_byte_pair());
  EXPECT_THAT(spanned(*tokenizer, "a he"), ElementsAre("a", " he"));
  EXPECT_EQ(encode(*tokenizer, "a he").spans[1], (Span{2, 4}));
}

TEST(BytePair, PutsASpaceBeforeTheTextThatNoByteStandsFor) {
  const auto tokenizer = load(small_byte_pair(), R"({"add_prefix_space": true})");
  const Tokens tokens = tokenizer->encode_with_spans("he");
  EXPECT_THAT(tokens.ids, ElementsAre(257));
  EXPECT_THAT(tokens.spans, ElementsAre(Span{0, 2}));
  EXPECT_THAT(tokenizer->encode_with_spans("xhe").spans,
              ElementsAre(Span{0, 0}, Span{0, 1}, Span{1, 3}));
}

TEST(Unigram, TakesTheSpellingOfTheHighestScore) {
  const auto tokenizer = load(small_unigram());
  EXPECT_THAT(tokenizer->encode("hello o"), ElementsAre(4, 6, 6, 7, 3, 7));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("hello o")), "hello o");
}

TEST(Unigram, JoinsUnknownCharactersAndKeepsTheirBytes) {
  const auto tokenizer = load(small_unigram());
  EXPECT_THAT(tokenizer->encode("lxyzl"), ElementsAre(3, 6, 2, 6));
  EXPECT_THAT(spanned(*tokenizer, "l\xFFyzl"), ElementsAre("", "l", "\xFFyz", "l"));
}

TEST(Unigram, GivesAPieceOfACompositeCharacterAllItsBytes) {
  const auto tokenizer = load(small_unigram());
  const std::string ligature = "\xEF\xAC\x80l";  // "ff" in one character, then l
  EXPECT_THAT(spanned(*tokenizer, ligature), ElementsAre("", "\xEF\xAC\x80", "l"));
}

TEST(AddedTokens, AreFoundAsTheyAreWritten) {
  const auto tokenizer = load(small_word_piece());
  EXPECT_THAT(pieces(*tokenizer, "a[MASK]b [mask]"),
              ElementsAre("a", "[MASK]", "b", "[UNK]", "[UNK]", "[UNK]"));
  EXPECT_EQ(tokenizer->vocabulary(), 12);
  EXPECT_EQ(tokenizer->mask(), 11);
}

json with_token(json description, json flags) {
  json token = lowrank::testing::special(12, "unable");
  token.update(flags);
  description["added_tokens"].push_back(token);
  return description;
}

TEST(AddedTokens, StandAloneOrTakeSpacesAlongAsTheirFlagsSay) {
  const auto alone = load(with_token(small_word_piece(), {{"single_word", true}}));
  EXPECT_THAT(pieces(*alone, "unable unablea"), ElementsAre("unable", "un", "##able", "##a"));
  const auto greedy = load(with_token(small_word_piece(), {{"lstrip", true}, {"rstrip", true}}));
  EXPECT_THAT(spanned(*greedy, "a \n unable  b"), ElementsAre("a", " \n unable  ", "b"));
}

TEST(AddedTokens, AreLookedForInTheNormalizedTextOnRequest) {
  const auto exact = load(with_token(small_word_piece(), json::object()));
  EXPECT_THAT(pieces(*exact, "UNABLE"), ElementsAre("un", "##able"));
  const auto normalized = load(with_token(small_word_piece(), {{"normalized", true}}));
  EXPECT_THAT(pieces(*normalized, "UNABLE"), ElementsAre("unable"));
  EXPECT_THAT(spanned(*normalized, "b UNABLE"), ElementsAre("b", "UNABLE"));
}

TEST(Decode, LeavesMarkedSpecialTokensOutOnRequest) {
  const auto tokenizer = load(small_word_piece());
  const std::vector<int64_t> ids = {2, 4, 5, 3};
  EXPECT_EQ(tokenizer->decode(ids), "[CLS] unable [SEP]");
  EXPECT_EQ(tokenizer->decode(ids, /*skip_special=*/true), "unable");
  EXPECT_THAT([&] { tokenizer->decode(std::vector<int64_t>{12}); },
              ThrowsMessage<Error>(HasSubstr("id = 12; an id is from 0 to 11")));
}

TEST(Roles, ComeFromNamesTemplateAndConfiguration) {
  const auto bert = load(small_word_piece(), R"({"model_max_length": 512})");
  EXPECT_EQ(bert->cls(), 2);
  EXPECT_EQ(bert->separator(), 3);
  EXPECT_EQ(bert->pad(), 0);
  EXPECT_EQ(bert->unknown(), 1);
  EXPECT_EQ(bert->max_length(), 512);
  EXPECT_TRUE(bert->is_special(11));
  EXPECT_FALSE(bert->is_special(4));
  const auto gpt =
      load(small_byte_pair(), R"({"model_max_length": 1e30, "pad_token": {"content": "he"}})");
  EXPECT_EQ(gpt->cls(), std::nullopt);
  EXPECT_EQ(gpt->separator(), std::nullopt);
  EXPECT_EQ(gpt->mask(), std::nullopt);
  EXPECT_EQ(gpt->pad(), 256);
  EXPECT_EQ(gpt->max_length(), std::nullopt);
  const auto t5 = load(small_unigram());
  EXPECT_EQ(t5->cls(), std::nullopt);
  EXPECT_EQ(t5->separator(), 1);
}

TEST(Template, IsTheFilesOwn) {
  const auto t5 = load(small_unigram());
  EXPECT_THAT(encode(*t5, "l", "o").ids, ElementsAre(3, 6, 1, 3, 7, 1));
  EXPECT_THAT(encode(*load(small_byte_pair()), "l", "o").ids, ElementsAre('l', 'o'));
  json roberta = small_word_piece();
  roberta["post_processor"]["type"] = "RobertaProcessing";
  EXPECT_THAT(encode(*load(roberta), "a", "b").ids, ElementsAre(2, 6, 3, 3, 8, 3));
}

TEST(TokenizerJson, ItsTruncationAndPaddingAreLeftToTheCaller) {
  json description = small_word_piece();
  description["truncation"] = {{"max_length", 2}, {"stride", 0}, {"strategy", "LongestFirst"}};
  description["padding"] = {{"strategy", {{"Fixed", 128}}}};
  EXPECT_EQ(encode(*load(description), "a a a a").ids.size(), 6u);
}

TEST(TokenizerConfig, GoesBeforeTokenizerJson) {
  const auto cased = load(small_word_piece(), R"({"do_lower_case": false, "strip_accents": true})");
  EXPECT_THAT(pieces(*cased, "Unable unable caf\xC3\xA9"),
              ElementsAre("[UNK]", "un", "##able", "cafe"));
}

TEST(VocabTxt, IsBertsAndSaysWhichLineRepeatsAPiece) {
  const std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##able\n";
  const auto tokenizer = load(Files{{"vocab.txt", vocabulary}});
  EXPECT_THAT(encode(*tokenizer, "Unable").ids, ElementsAre(2, 5, 6, 3));
  EXPECT_THAT(failure(Files{{"vocab.txt", vocabulary + "un\n"}}),
              AllOf(HasSubstr("vocab.txt:8: \"un\" is there already, in line 6")));
  EXPECT_THAT(failure(Files{{"vocab.txt", "un\n"}}), HasSubstr("\"[UNK]\" is missing"));
  EXPECT_THAT(failure(Files{{"vocab.txt", ""}}), HasSubstr("\"[UNK]\" is missing"));
  EXPECT_THAT(failure(Files{{"vocab.txt", "\xFF\n"}}), HasSubstr("byte 0 is not UTF-8"));
}

TEST(VocabJson, IsRobertasWhereItHasItsTokens) {
  json vocabulary = small_byte_pair()["model"]["vocab"];
  const std::string merges = "#version: 0.2\nh e\n";
  const auto gpt = load(Files{{"vocab.json", vocabulary.dump()}, {"merges.txt", merges}});
  EXPECT_THAT(encode(*gpt, "he").ids, ElementsAre(256));
  vocabulary.update({{"<s>", 259}, {"</s>", 260}, {"<mask>", 261}});
  const auto roberta = load(Files{{"vocab.json", vocabulary.dump()}, {"merges.txt", merges}});
  EXPECT_THAT(encode(*roberta, "he <mask>", "he").ids,
              ElementsAre(259, 256, 261, 260, 260, 256, 260));
}

TEST(VocabJson, NamesMergesThatDoNotFit) {
  const std::string vocabulary = small_byte_pair()["model"]["vocab"].dump();
  const auto sentence = [&](const std::string& merges) {
    return failure(Files{{"vocab.json", vocabulary}, {"merges.txt", merges}});
  };
  EXPECT_THAT(sentence("h x\n"), HasSubstr("needs \"hx\", which the vocabulary does not have"));
  EXPECT_THAT(sentence("h e\nh e\n"), HasSubstr("\"h\" and \"e\" merge twice"));
  EXPECT_THAT(sentence("he\n"), HasSubstr("a merge is written \"left right\""));
  EXPECT_THAT(failure(Files{{"vocab.json", vocabulary}}), HasSubstr("merges.txt"));
}

TEST(VocabWithScores, IsAlbertsAndNamesLinesThatAreNone) {
  const std::string mark = "\xE2\x96\x81";
  const std::string vocabulary =
      "<pad>\t0\n<unk>\t0\n[CLS]\t0\n[SEP]\t0\n[MASK]\t0\n" + mark + "\t-2\ncafe\t-3.5\n";
  const auto tokenizer = load(Files{{"30k.vocab", vocabulary}});
  EXPECT_THAT(encode(*tokenizer, "CAF\xC3\x89").ids, ElementsAre(2, 5, 6, 3));
  EXPECT_THAT(failure(Files{{"a.vocab", vocabulary + "x\n"}}),
              HasSubstr("a.vocab:8: a line is a piece, a tab and a number"));
  EXPECT_THAT(failure(Files{{"a.vocab", vocabulary + "cafe\t1\n"}}),
              HasSubstr("a.vocab:8: \"cafe\" is there already, in line 7"));
}

std::string sentence_piece_model() {
  const std::string mark = "\xE2\x96\x81";
  std::string model;
  protozero::pbf_writer writer(model);
  const auto add = [&](const std::string& piece, float score, int32_t type) {
    protozero::pbf_writer entry(writer, 1);
    entry.add_string(1, piece);
    entry.add_float(2, score);
    entry.add_enum(3, type);
  };
  add("<unk>", 0, 2);
  add("<s>", 0, 3);
  add("</s>", 0, 3);
  add(mark + "he", -1, 1);
  add("l", -2, 1);
  add("o", -2, 1);
  add(mark, -3, 1);
  return model;
}

TEST(SentencePieceModel, IsReadByItsOwnLibrary) {
  const Files files = {{"spiece.model", sentence_piece_model()}};
  const auto tokenizer = load(files);
  EXPECT_THAT(tokenizer->encode("hello o"), ElementsAre(3, 4, 4, 5, 6, 5));
  EXPECT_THAT(spanned(*tokenizer, "hel\xFFo"), ElementsAre("he", "l", "\xFF", "o"));
  EXPECT_EQ(tokenizer->decode(std::vector<int64_t>{1, 3, 4, 2}), "<s>hel</s>");
  EXPECT_EQ(tokenizer->decode(std::vector<int64_t>{1, 3, 4, 2}, true), "hel");
  EXPECT_EQ(tokenizer->id("l"), 4);
  EXPECT_EQ(tokenizer->id("nothing"), std::nullopt);
  EXPECT_THAT(encode(*tokenizer, "he").ids, ElementsAre(3));
  const auto t5 = load(Files{files[0], {"config.json", R"({"model_type": "t5"})"}});
  EXPECT_THAT(encode(*t5, "he").ids, ElementsAre(3, 2));
}

TEST(SentencePieceModel, IsNamedWhereItIsBrokenOrNotAll) {
  const std::string model = sentence_piece_model();
  EXPECT_THAT(failure(Files{{"a.model", ""}}), HasSubstr("libsentencepiece cannot read it"));
  EXPECT_THAT(failure(Files{{"a.model", model.substr(0, model.size() - 3)}}),
              HasSubstr("libsentencepiece cannot read it"));
  const std::string config = R"({"tokenizer_class": "XLMRobertaTokenizer"})";
  EXPECT_THAT(failure(Files{{"a.model", model}, {"tokenizer_config.json", config}}),
              HasSubstr("Add the model's tokenizer.json"));
}

TEST(LoadTokenizer, GivesATokenizerThatThreadsMayShare) {
  for (const json& description : {small_word_piece(), small_byte_pair(), small_unigram()}) {
    const auto tokenizer = load(description);
    std::string text;
    for (int i = 0; i < 2000; ++i)
      text += "unable hell" + std::string(static_cast<size_t>(1 + i % 7), 'a') + " o\xC3\xA9 ";
    const Tokens expected = tokenizer->encode_with_spans(text);
    std::vector<Tokens> got(4);
    std::vector<std::thread> threads;
    for (Tokens& tokens : got) {
      threads.emplace_back([&] { tokens = tokenizer->encode_with_spans(text); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Tokens& tokens : got) {
      EXPECT_EQ(tokens.ids, expected.ids);
      EXPECT_EQ(tokens.spans, expected.spans);
    }
  }
}

TEST(LoadTokenizer, NamesAFolderWithoutFilesAndNoFolder) {
  EXPECT_THAT(failure(Files{}), HasSubstr("there is no tokenizer"));
  EXPECT_THAT(
      [] { load_tokenizer("/nowhere"); },
      ThrowsMessage<Error>("/nowhere: there is no such folder. A tokenizer's files lie in one."));
}

TEST(TokenizerJson, CutShortAnywhereIsOneSentence) {
  const std::string whole = small_word_piece().dump();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_THAT(failure(Files{{"tokenizer.json", whole.substr(0, bytes)}}),
                HasSubstr("tokenizer.json: this is not JSON"))
        << bytes;
  }
}

// A description with one value replaced.
json with(json description, const char* pointer, const json& value) {
  description[json::json_pointer(pointer)] = value;
  return description;
}

TEST(TokenizerJson, NamesTheValueThatIsWrong) {
  const json bert = small_word_piece();
  const auto sentence = [&](const char* pointer, const json& value) {
    return failure(with(bert, pointer, value));
  };
  EXPECT_THAT(failure(json::array()), HasSubstr("this must be an object"));
  EXPECT_THAT(failure(json::object()), HasSubstr("\"model\" is missing"));
  EXPECT_THAT(sentence("/model", 7), HasSubstr("model: this must be an object"));
  EXPECT_THAT(sentence("/model/vocab", json::object()), HasSubstr("the vocabulary is empty"));
  EXPECT_THAT(sentence("/model/vocab/un", 5), HasSubstr("have the id 5"));
  EXPECT_THAT(sentence("/model/vocab/un", -1), HasSubstr("the id of \"un\" = -1"));
  EXPECT_THAT(sentence("/model/vocab/un", 1LL << 40), HasSubstr("an id is from 0 to 16777215"));
  EXPECT_THAT(sentence("/model/vocab/un", "4"), HasSubstr("\"un\" is no whole number"));
  EXPECT_THAT(sentence("/model/unk_token", "<unk>"), HasSubstr("the vocabulary does not have it"));
  EXPECT_THAT(sentence("/added_tokens/0/id", 9),
              HasSubstr("the model's vocabulary says otherwise"));
  EXPECT_THAT(sentence("/added_tokens/4/id", 1e9), HasSubstr("must be a whole number"));
  EXPECT_THAT(sentence("/added_tokens/4/content", 3), HasSubstr("added_tokens[4].content"));
  EXPECT_THAT(sentence("/added_tokens/4", bert["added_tokens"][0]), HasSubstr("is there twice"));
  EXPECT_THAT(sentence("/post_processor/cls", {"[CLS]", 77}), HasSubstr("the id 77 of a special"));
  EXPECT_THAT(sentence("/post_processor/cls", "[CLS]"), HasSubstr("this must be a list"));
  EXPECT_THAT(failure(Files{{"tokenizer.json", R"({"model": {"vocab": {"a": 0, "a": 1}}})"}}),
              HasSubstr("has the key \"a\" twice"));
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  EXPECT_THAT(failure(Files{{"tokenizer.json", deep}}), HasSubstr("nested more than 100 deep"));
}

TEST(TokenizerJson, NamesWhatIsNotSupported) {
  const json bert = small_word_piece();
  for (const char* member : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    EXPECT_THAT(failure(with(bert, (std::string("/") + member).c_str(), {{"type", "Wonder"}})),
                AllOf(HasSubstr(member), HasSubstr("\"Wonder\" is not supported. Supported are")));
  }
  EXPECT_THAT(failure(with(bert, "/model/type", "Wonder")),
              HasSubstr("\"Wonder\" is not supported"));
  EXPECT_THAT(failure(with(small_byte_pair(), "/model/dropout", 0.1)), HasSubstr("dropout"));
  const json regex = {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}};
  EXPECT_THAT(failure(with(bert, "/pre_tokenizer", regex)), HasSubstr("is not understood"));
}

TEST(TokenizerJson, NamesAnExpressionThatTakesForever) {
  const json regex = {
      {"type", "Split"}, {"pattern", {{"Regex", "(x+x+)+y"}}}, {"behavior", "Isolated"}};
  const auto tokenizer = load(with(small_word_piece(), "/pre_tokenizer", regex));
  EXPECT_THAT(
      [&] { tokenizer->encode(std::string(60, 'x')); },
      ThrowsMessage<Error>(HasSubstr("failed (U_REGEX_TIME_OUT). Use a simpler expression")));
}

TEST(TokenizerJson, NamesATemplateWithoutItsText) {
  const json t5 = small_unigram();
  EXPECT_THAT(failure(with(t5, "/post_processor/single", json::array())),
              HasSubstr("has its first text 0 times"));
  EXPECT_THAT(failure(with(t5, "/post_processor/special_tokens", json::object())),
              HasSubstr("\"</s>\" is missing"));
}

TEST(TokenizerJson, NamesAByteLevelVocabularyThatWouldLoseBytes) {
  json gpt = small_byte_pair();
  gpt["model"]["vocab"].erase(lowrank::testing::byte_character(0));
  EXPECT_THAT(failure(gpt), HasSubstr("neither a piece for the byte 0x00 nor an unk_token"));
}

TEST(TokenizerJson, NamesABrokenMapOfCharacters) {
  const auto sentence = [](const std::string& map) {
    return failure(with(small_unigram(), "/normalizer",
                        {{"type", "Precompiled"}, {"precompiled_charsmap", map}}));
  };
  EXPECT_THAT(sentence("?"), HasSubstr("not Base64"));
  EXPECT_THAT(sentence(""), HasSubstr("shorter than its own size"));
  EXPECT_THAT(sentence("/////w=="), HasSubstr("cut short"));
}

TEST(CopyTokenizerFiles, CopiesThemByteForByteAndNothingElse) {
  const TemporaryFolder from, to;
  const std::string description = small_byte_pair().dump(1);
  from.write("tokenizer.json", description);
  from.write("spiece.model", std::string("\0\xFF", 2));
  from.write("model.safetensors", "weights");
  copy_tokenizer_files(from.path(), to.path() / "new");
  EXPECT_EQ(read_file(to.path() / "new" / "tokenizer.json"), description);
  EXPECT_EQ(read_file(to.path() / "new" / "spiece.model"), std::string("\0\xFF", 2));
  EXPECT_FALSE(std::filesystem::exists(to.path() / "new" / "model.safetensors"));
  EXPECT_THAT([&] { copy_tokenizer_files(to.path(), from.path()); },
              ThrowsMessage<Error>(HasSubstr("there is no tokenizer to copy")));
}

TEST(MakeTokenizer, ReadsTheFilesBesideAConfigAndThoseOfAPath) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_byte_pair().dump());
  EXPECT_EQ(make_tokenizer("files", folder.path())->kind(), "files");
  EXPECT_EQ(make_tokenizer(folder.path().string())->vocabulary(), 260);
  EXPECT_THAT([] { make_tokenizer("files"); },
              ThrowsMessage<Error>(HasSubstr("these lie beside a model's config.json")));
}

}  // namespace
}  // namespace lowrank::text
