// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/config.h"

#include <gmock/gmock.h>

#include <limits>
#include <random>

namespace lowrank {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StrEq;
using ::testing::ThrowsMessage;

enum class Schedule { kConstant, kLinear };

struct Inner {
  int64_t width = 8;
};

struct Settings {
  int64_t steps = 100;
  double rate = 0.5;
  std::optional<double> scale;
  bool shuffle = false;
  std::string name = "default";
  std::vector<int64_t> lengths = {1, 2};
  std::vector<std::string> files;
  Schedule schedule = Schedule::kConstant;
  Inner inner;
  std::vector<Inner> layers;
  Json labels;
};

void describe_inner(ConfigFields& fields, Inner& inner) {
  fields.number("width", inner.width, 1, 64);
}

Describe describe(Settings& s) {
  return [&s](ConfigFields& fields) {
    fields.number("steps", s.steps, 1, 1000);
    fields.number("rate", s.rate, 0, 1);
    fields.number("scale", s.scale, 0, 10);
    fields.flag("shuffle", s.shuffle);
    fields.text("name", s.name);
    fields.numbers("lengths", s.lengths, 1, 10);
    fields.texts("files", s.files);
    fields.choice("schedule", s.schedule,
                  {{"constant", Schedule::kConstant}, {"linear", Schedule::kLinear}});
    fields.object("inner", [&](ConfigFields& inner) { describe_inner(inner, s.inner); });
    fields.objects(
        "layers", [&](size_t size) { s.layers.resize(size); }, s.layers.size(),
        [&](ConfigFields& layer, size_t i) { describe_inner(layer, s.layers[i]); });
    fields.json("labels", s.labels);
  };
}

Settings read(const std::string& text) {
  Settings settings;
  read_config(parse_json(text, "a.json"), "a.json", describe(settings));
  return settings;
}

void expect_refused(const std::string& text, const std::string& message) {
  EXPECT_THAT([&] { read(text); }, ThrowsMessage<Error>(StrEq(message)));
}

TEST(ReadConfig, KeepsTheDefaultOfAnAbsentKey) {
  const Settings settings = read("{}");
  EXPECT_EQ(settings.steps, 100);
  EXPECT_EQ(settings.scale, std::nullopt);
  EXPECT_THAT(settings.lengths, ElementsAre(1, 2));
  EXPECT_THAT(settings.layers, IsEmpty());
}

TEST(ReadConfig, ReadsEveryKind) {
  const Settings settings = read(R"({"steps": 7, "rate": 1, "scale": 2.5, "shuffle": true,
      "name": "x", "lengths": [3], "files": ["a", "b"], "schedule": "linear",
      "inner": {"width": 9}, "layers": [{"width": 1}, {}], "labels": {"any": [1]}})");
  EXPECT_EQ(settings.steps, 7);
  EXPECT_EQ(settings.rate, 1.0);
  EXPECT_EQ(settings.scale, 2.5);
  EXPECT_TRUE(settings.shuffle);
  EXPECT_EQ(settings.name, "x");
  EXPECT_THAT(settings.lengths, ElementsAre(3));
  EXPECT_THAT(settings.files, ElementsAre("a", "b"));
  EXPECT_EQ(settings.schedule, Schedule::kLinear);
  EXPECT_EQ(settings.inner.width, 9);
  ASSERT_EQ(settings.layers.size(), 2u);
  EXPECT_EQ(settings.layers[0].width, 1);
  EXPECT_EQ(settings.layers[1].width, 8);
  EXPECT_EQ(settings.labels["any"][0], 1);
}

TEST(ReadConfig, TakesOneWhereAListOfOneIsMeant) {
  EXPECT_THAT(read(R"({"files": "a"})").files, ElementsAre("a"));
  EXPECT_EQ(read(R"({"layers": {"width": 3}})").layers.at(0).width, 3);
}

TEST(ReadConfig, EmptiesAnOptionalNumberThatIsNull) {
  EXPECT_EQ(read(R"({"scale": null})").scale, std::nullopt);
}

TEST(ReadConfig, RefusesAWholeNumberOutOfRangeOrOfAnotherKind) {
  for (const char* value : {"0", "1001", "-1", "2.0", "\"7\"", "true", "null", "[1]",
                            "9223372036854775807", "18446744073709551615"}) {
    expect_refused(
        std::string("{\"steps\": ") + value + "}",
        std::string("a.json: steps = ") + value + "; it must be a whole number from 1 to 1000.");
  }
}

TEST(ReadConfig, RefusesANumberOutOfRangeOrOfAnotherKind) {
  for (const char* value : {"1.5", "-0.5", "\"x\"", "false", "null"}) {
    expect_refused(std::string("{\"rate\": ") + value + "}",
                   std::string("a.json: rate = ") + value + "; it must be a number from 0 to 1.");
  }
  expect_refused(R"({"scale": -1})", "a.json: scale = -1; it must be a number from 0 to 10.");
}

TEST(ReadConfig, RefusesListsWithAWrongElement) {
  for (const char* value : {"3", "[0]", "[1.5]", "[\"a\"]", "[18446744073709551615]"}) {
    expect_refused(std::string("{\"lengths\": ") + value + "}",
                   std::string("a.json: lengths = ") + value +
                       "; it must be a list of whole numbers from 1 to 10.");
  }
  expect_refused(R"({"files": [1]})", "a.json: files = [1]; it must be a list of strings.");
}

TEST(ReadConfig, RefusesOtherKinds) {
  expect_refused(R"({"shuffle": 1})", "a.json: shuffle = 1; it must be true or false.");
  expect_refused(R"({"name": 1})", "a.json: name = 1; it must be a string.");
  expect_refused(R"({"inner": 1})", "a.json: inner = 1; it must be a table of keys.");
  expect_refused("[]", "a.json = []; it must be a table of keys.");
  expect_refused(R"({"layers": []})",
                 "a.json: layers = []; it must be a table or a list of tables.");
}

TEST(ReadConfig, SuggestsTheChoiceThatWasMeant) {
  expect_refused(R"({"schedule": "linaer"})",
                 "a.json: schedule = \"linaer\"; it must be one of constant, linear. "
                 "Did you mean \"linear\"?");
  expect_refused(R"({"schedule": 1})", "a.json: schedule = 1; it must be one of constant, linear.");
}

TEST(ReadConfig, RefusesAnUnknownKeyAndSuggestsTheNearest) {
  expect_refused(R"({"step": 1})", "a.json: key \"step\" is not known. Did you mean \"steps\"?");
  expect_refused(R"({"inner": {"height": 1}})",
                 "a.json: key \"inner.height\" is not known. Known here: width.");
  expect_refused(R"({"layers": [{}, {"wdith": 1}]})",
                 "a.json: key \"layers[1].wdith\" is not known. Did you mean "
                 "\"layers[1].width\"?");
}

TEST(ReadConfig, RefusesTheAbsenceOfARequiredKey) {
  const auto read_required = [](const Json& json) {
    read_config(json, "a.json", [](ConfigFields& fields) {
      int64_t size = 0;
      fields.required("size");
      fields.number("size", size, 0, 10);
    });
  };
  EXPECT_NO_THROW(read_required({{"size", 1}}));
  EXPECT_THAT(
      [&] { read_required(Json::object()); },
      ThrowsMessage<Error>(StrEq("a.json: \"size\" is missing; it has no default. Add it.")));
}

TEST(ReadConfig, NamesThePlaceForChecksAcrossKeys) {
  std::vector<std::string> places;
  read_config(Json{{"inner", Json::object()}}, "a.json", [&](ConfigFields& fields) {
    places.push_back(fields.place());
    fields.object("inner", [&](ConfigFields& inner) { places.push_back(inner.place()); });
  });
  EXPECT_THAT(places, ElementsAre("a.json", "a.json: inner"));
}

TEST(WriteConfig, WritesWhatReadConfigReads) {
  Settings written = read(R"({"steps": 7, "rate": 0.1, "schedule": "linear", "files": ["a"],
      "inner": {"width": 9}, "layers": [{"width": 2}], "labels": {"b": 1, "a": 2}})");
  const Json json = write_config(describe(written));
  Settings again;
  read_config(json, "a.json", describe(again));
  EXPECT_EQ(write_config(describe(again)), json);
  EXPECT_EQ(json["rate"], 0.1);
  EXPECT_EQ(json["labels"].dump(), R"({"b":1,"a":2})");
  EXPECT_FALSE(json.contains("scale")) << "an empty optional number is left out";
  EXPECT_EQ(json.begin().key(), "steps") << "keys come in the order described";
}

// What a fresh struct writes, it must read: an empty list of tables as well.
TEST(WriteConfig, WritesDefaultsThatCanBeRead) {
  Settings defaults, again;
  const Json json = write_config(describe(defaults));
  EXPECT_NO_THROW(read_config(json, "a.json", describe(again)));
}

TEST(ParseJson, NamesTheLineOfAMistake) {
  EXPECT_THAT([] { parse_json("{\n\"a\": 1,\n}", "a.json"); },
              ThrowsMessage<Error>(HasSubstr("a.json:3: this is not JSON.")));
  EXPECT_THAT([] { parse_json("", "a.json"); },
              ThrowsMessage<Error>(HasSubstr("a.json:1: this is not JSON.")));
  EXPECT_THROW(parse_json("{\"a\": \"\xff\"}", "a.json"), Error);
  EXPECT_THROW(parse_json("{\"a\": 1e999}", "a.json"), Error);
}

TEST(ParseJson, RefusesNestingThatWouldExhaustTheStack) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  EXPECT_THAT([&] { parse_json(deep, "a.json"); },
              ThrowsMessage<Error>(HasSubstr("nested more than")));
  EXPECT_NO_THROW(parse_json(std::string(50, '[') + std::string(50, ']'), "a.json"));
}

// The parser would keep the last of two, and a file's reader would never know of the first.
TEST(ParseJson, RefusesAnObjectThatHasAKeyTwice) {
  for (const char* text : {R"({"a": 1, "b": 2, "a": 1})", R"({"x": [{"a": {}, "a": {}}]})",
                           R"({"a": 1, "\u0061": 2})"}) {
    EXPECT_THAT([&] { parse_json(text, "config.json"); },
                ThrowsMessage<Error>(
                    HasSubstr("config.json: an object has the key \"a\" twice. Mend the file.")))
        << text;
  }
  EXPECT_NO_THROW(parse_json(R"({"a": {"a": [{"a": 1}, {"a": 2}]}, "b": {"a": 1}})", "a.json"));
}

TEST(ParseToml, GivesTheSameStructureAsJson) {
  const Json json = parse_toml(R"(
title = "x"
[model]
size = 3
rate = 1e-3
on = true
list = [1, 2]
[[data]]
name = "a"
[[data]]
name = "b"
)",
                               "a.toml");
  // The parser sorts a table's keys, so their order is left out of the comparison.
  EXPECT_EQ(nlohmann::json(json),
            nlohmann::json::parse(R"({"title": "x", "model": {"size": 3, "rate": 0.001, "on": true,
      "list": [1, 2]}, "data": [{"name": "a"}, {"name": "b"}]})"));
}

TEST(ParseToml, NamesTheLineOfAMistake) {
  EXPECT_THAT([] { parse_toml("a = 1\nb = = 2\n", "a.toml"); },
              ThrowsMessage<Error>(HasSubstr("a.toml:2: this is not TOML: ")));
  EXPECT_THAT([] { parse_toml("a = 1\na = 2\n", "a.toml"); },
              ThrowsMessage<Error>(HasSubstr("a.toml:2: this is not TOML: ")));
}

TEST(SetConfigValue, TakesTomlValuesAndBareWords) {
  Json json = {{"model", {{"size", 1}}}};
  set_config_value(json, "model.size=32");
  set_config_value(json, "train.rate=1e-3");
  set_config_value(json, "train.schedule=linear");
  set_config_value(json, "data.lengths=[1, 2]");
  set_config_value(json, "data.file=a=b.tsv");
  EXPECT_EQ(json, Json::parse(R"({"model": {"size": 32}, "train": {"rate": 0.001,
      "schedule": "linear"}, "data": {"lengths": [1, 2], "file": "a=b.tsv"}})"));
}

TEST(SetConfigValue, RefusesWhatIsNoSetting) {
  Json json = {{"model", 1}};
  for (const char* setting : {"steps", "=1", "", ".=1", "a..b=1", ".a=1", "a.=1"}) {
    EXPECT_THROW(set_config_value(json, setting), Error) << setting;
  }
  EXPECT_THAT([&] { set_config_value(json, "model.size=1"); },
              ThrowsMessage<Error>(StrEq("--set model.size=1: \"model\" is not a table.")));
  Json list = Json::array();
  EXPECT_THROW(set_config_value(list, "a=1"), Error);
  EXPECT_EQ(json, (Json{{"model", 1}}));
}

// Whatever bytes a file holds, the readers give a value or an Error.
TEST(ConfigReaders, AnswerDamagedFilesWithAnError) {
  const std::string json = R"({"steps": 7, "rate": 0.25, "name": "x\u00e9", "lengths": [3, 4],
 "inner": {"width": 9}, "layers": [{"width": 1}, {"width": 2}], "schedule": "linear"})";
  const std::string toml =
      "steps = 7\nrate = 2.5e-1\nname = \"x\"\nlengths = [3, 4]\nschedule = 'linear'\n"
      "inner = {width = 9}\n[[layers]]\nwidth = 1\n";
  std::mt19937 random(1);
  const auto damaged = [&](std::string text) {
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
      const size_t place = random() % text.size();
      if (random() % 4 == 0) {
        text.erase(place, 1 + random() % 5);
        if (text.empty()) return text;
      } else {
        text[place] = static_cast<char>(random() % 2 ? random() : "{}[]\",:=.0"[random() % 11]);
      }
    }
    return text;
  };
  int refused = 0;
  for (int round = 0; round < 10'000; ++round) {
    const std::string text = damaged(round % 2 ? json : toml);
    try {
      Settings settings;
      read_config(round % 2 ? parse_json(text, "a") : parse_toml(text, "a"), "a",
                  describe(settings));
      EXPECT_GE(settings.steps, 1);
      EXPECT_LE(settings.steps, 1000);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace lowrank
