// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/pickle.h"

#include <gmock/gmock.h>

#include "lowrank/base/error.h"
#include "tests/support/pickle_bytes.h"

namespace lowrank::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::pickled_call;
using testing::pickled_dict;
using testing::pickled_global;
using testing::pickled_int;
using testing::pickled_list;
using testing::pickled_text;
using testing::pickled_tuple;
using ::testing::ThrowsMessage;
using Kind = PickleValue::Kind;

bool is_known(const std::string& global) { return !global.starts_with("os."); }

Pickle read(const std::string& bytes) { return Pickle(bytes, "some.pt", is_known); }

Pickle read_value(const std::string& opcodes) { return read(testing::pickle(opcodes)); }

void expect_refused(const std::string& opcodes, const std::string& reason) {
  EXPECT_THAT([&] { read_value(opcodes); },
              ThrowsMessage<Error>(AllOf(HasSubstr("some.pt: "), HasSubstr(reason))));
}

std::string described_value(const std::string& opcodes) {
  return described(read_value(opcodes).content());
}

TEST(PickleTest, ReadsPlainValuesOfEveryProtocol) {
  using std::string_literals::operator""s;
  EXPECT_EQ(described_value("N"), "None");
  EXPECT_EQ(described_value("\x88"), "True");
  EXPECT_EQ(described_value("\x89"), "False");
  EXPECT_EQ(described_value("K\xff"), "int 255");
  EXPECT_EQ(described_value("M\xff\xff"), "int 65535");
  EXPECT_EQ(described_value("J\xff\xff\xff\xff"), "int -1");
  EXPECT_EQ(described_value("\x8a\x00"s), "int 0");
  EXPECT_EQ(described_value("\x8a\x01\x80"), "int -128");
  EXPECT_EQ(described_value("\x8a\x02\x80\x00"s), "int 128");
  EXPECT_EQ(described_value("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"), "int 9223372036854775807");
  EXPECT_EQ(described_value("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "builtins.int");
  EXPECT_EQ(described_value("\x8b\x01\x00\x00\x00\x05"s), "int 5");
  EXPECT_EQ(described_value("G\x3f\xf8\x00\x00\x00\x00\x00\x00"s), "float 1.5");
  EXPECT_EQ(described_value("C\x02zz"), "bytes of 2");
  EXPECT_EQ(described_value("B\x01\x00\x00\x00z"s), "bytes of 1");
  EXPECT_EQ(described_value("\x8e\x01\0\0\0\0\0\0\0z"s), "bytes of 1");
  EXPECT_EQ(described_value("\x96\x01\0\0\0\0\0\0\0z"s), "bytes of 1");
  for (const std::string& text : {"X\x02\0\0\0ab"s, "\x8c\x02"s + "ab", "U\x02"s + "ab",
                                  "T\x02\0\0\0ab"s, "\x8d\x02\0\0\0\0\0\0\0ab"s}) {
    EXPECT_EQ(read_value(text).content().text, "ab");
  }
}

TEST(PickleTest, ReadsContainers) {
  EXPECT_EQ(described_value("]"), "list of 0");
  EXPECT_EQ(described_value("]K\x01"
                            "a"),
            "list of 1");
  EXPECT_EQ(described_value(pickled_list({"N", "N", "N"})), "list of 3");
  EXPECT_EQ(described_value("(NNl"), "list of 2");
  EXPECT_EQ(described_value(")"), "tuple of 0");
  EXPECT_EQ(described_value("N\x85"), "tuple of 1");
  EXPECT_EQ(described_value("NN\x86"), "tuple of 2");
  EXPECT_EQ(described_value("NNN\x87"), "tuple of 3");
  EXPECT_EQ(described_value(pickled_tuple({"N", "N", "N", "N"})), "tuple of 4");
  EXPECT_EQ(described_value("\x8f(NN\x90"), "set of 2");
  EXPECT_EQ(described_value("(NN\x91"), "set of 2");
  EXPECT_EQ(described_value("(NNNNd"), "dict of 2");
  EXPECT_EQ(described_value("}NNs"), "dict of 1");
  const Pickle dict = read_value(pickled_dict({pickled_text("a"), "K\x07", "N", "K\x08"}));
  ASSERT_NE(find(dict.content(), "a"), nullptr);
  EXPECT_EQ(find(dict.content(), "a")->integer, 7);
  EXPECT_EQ(find(dict.content(), "b"), nullptr);
}

TEST(PickleTest, KeepsWhatIsToBeUsedAgain) {
  const Pickle kept = read_value("K\x07q\x05h\x05\x86");
  EXPECT_EQ(kept.content().items[0], kept.content().items[1]);
  const std::string frame = "\x95" + testing::little_endian(uint64_t{6});
  const Pickle numbered = read("\x80\x04" + frame + "K\x07\x94h" + std::string(1, '\0') + "\x86.");
  EXPECT_EQ(numbered.content().items[0], numbered.content().items[1]);
  const Pickle circle = read_value(
      "]q\x01h\x01"
      "a");
  EXPECT_EQ(circle.content().items[0], &circle.content());
}

TEST(PickleTest, MakesDictsOfTheClassesThatAreDicts) {
  EXPECT_EQ(described_value(pickled_call("collections", "OrderedDict", {}) + "(NNu"), "dict of 1");
  const std::string pairs = pickled_list({pickled_tuple({pickled_text("a"), "N"})});
  EXPECT_EQ(described_value(pickled_call("collections", "OrderedDict", {pairs})), "dict of 1");
  EXPECT_EQ(described_value(pickled_call("collections", "Counter", {pickled_dict({"N", "N"})})),
            "dict of 1");
  EXPECT_EQ(described_value(pickled_call("collections", "OrderedDict", {}) + "}b"), "dict of 0");
}

TEST(PickleTest, DescribesACallAndDoesNotMakeIt) {
  const Pickle call = read_value(pickled_call("argparse", "Namespace", {}) +
                                 pickled_dict({pickled_text("a"), "K\x07"}) + "b");
  EXPECT_EQ(described(call.content()), "argparse.Namespace");
  ASSERT_EQ(call.content().items.size(), 2u);
  EXPECT_EQ(find(*call.content().items[1], "a")->integer, 7);
  EXPECT_EQ(described_value(pickled_global("a", "B") + ")\x81"), "a.B");
  EXPECT_EQ(described_value(pickled_global("a", "B") + ")}\x92"), "a.B");
  EXPECT_EQ(described_value(pickled_text("a") + pickled_text("B") + "\x93"), "a.B");
}

TEST(PickleTest, NamesAGlobalThatIsNotKnown) {
  const std::string reason =
      "its pickle asks for \"os.system\", which is neither a tensor nor a plain value";
  expect_refused(pickled_call("os", "system", {pickled_text("true")}), reason);
  expect_refused(pickled_text("os") + pickled_text("system") + "\x93", reason);
  expect_refused(pickled_text("os") + pickled_text(std::string("\0\x1b[2J\xff\n", 7)) + "\x93",
                 "\"os.??[2J??\"");
  expect_refused(pickled_text("os") + pickled_text(std::string(1000, 'a')) + "\x93", "aaa...\"");
}

TEST(PickleTest, RefusesWhatPickleDoesNotWrite) {
  expect_refused("", "takes a value from an empty stack");
  expect_refused("0", "takes a value from an empty stack");
  expect_refused("N(0", "takes a value from an empty stack");
  expect_refused("NN(\x86", "takes a value from an empty stack");
  expect_refused("Nt", "has no mark");
  expect_refused("h\x01", "recalls value 1, which it never kept");
  expect_refused("q\x01", "takes a value from an empty stack");
  expect_refused("}(Nu", "has a key without a value");
  expect_refused("NNa", "adds to a value that takes no elements");
  expect_refused("]NNs", "adds to a value that takes no elements");
  expect_refused("NNR", "calls what is no function");
  expect_refused(pickled_global("a", "b") + "NR", "no tuple of arguments");
  expect_refused("NNb", "gives a state to what is no object");
  expect_refused("NN\x93", "names a global by something that is no text");
  expect_refused(pickled_call("collections", "OrderedDict", {pickled_list({"N"})}),
                 "is made of no pairs");
  for (const char* opcode : {"I", "i", "o", "P", "\x82", "\x97", "\xff"}) {
    expect_refused(opcode, "is none of protocols 2 to 5");
  }
}

TEST(PickleTest, RefusesOtherProtocolsAndOtherBytes) {
  EXPECT_THAT([] { read("N."); }, ThrowsMessage<Error>(HasSubstr("does not begin as a pickle")));
  EXPECT_THAT([] { read("\x80\x01N."); }, ThrowsMessage<Error>(HasSubstr("protocol 1 is none of")));
  EXPECT_THAT([] { read("\x80\x06N."); }, ThrowsMessage<Error>(HasSubstr("protocol 6 is none of")));
}

TEST(PickleTest, RefusesAPickleCutAnywhere) {
  const std::string whole =
      testing::pickle(pickled_dict({pickled_text("a"), pickled_int(300), pickled_text("b"),
                                    pickled_call("argparse", "Namespace", {pickled_list({"N"})})}));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(read(whole.substr(0, size)), Error) << size << " bytes";
  }
  EXPECT_EQ(read(whole + "more").size(), whole.size());
}

// Each call asks for a copy of one list: few bytes would become very many elements.
TEST(PickleTest, RefusesCopiesWithoutEnd) {
  std::string opcodes = "](";
  const std::string pair = pickled_tuple({"N", "N"});
  for (int i = 0; i < 2000; ++i) opcodes += pair;
  opcodes +=
      "eq\x01"
      "0";
  const std::string copy = pickled_global("collections", "OrderedDict") + "h\x01\x85R0";
  for (int i = 0; i < 2000; ++i) opcodes += copy;
  expect_refused(opcodes + "N", "copies more elements than it has bytes");
}

}  // namespace
}  // namespace lowrank::io
