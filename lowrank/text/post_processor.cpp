// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/post_processor.h"

#include <fmt/format.h>

#include <algorithm>

namespace lowrank::text {
namespace {

using Part = SequenceTemplate::Part;
using Place = SequenceTemplate::Place;

void require_once(const std::vector<Place>& places, Part part, const CheckedJson& json) {
  const auto count = std::count_if(places.begin(), places.end(),
                                   [&](const Place& place) { return place.part == part; });
  if (count == 1) return;
  json.fail(
      fmt::format("the template has its {} text {} times; it must have it once. Mend the file.",
                  part == Part::kFirst ? "first" : "second", count));
}

// A special token stands for one id or several.
void add_special(const std::string& name, int64_t segment, const CheckedJson& special_tokens,
                 std::vector<Place>& places) {
  for (const CheckedJson& id : special_tokens.at(name.c_str()).at("ids").items()) {
    places.push_back({.part = Part::kSpecial, .id = id.whole(0, INT32_MAX), .segment = segment});
  }
}

std::vector<Place> places_of(const CheckedJson& json, const CheckedJson& special_tokens) {
  std::vector<Place> places;
  for (const CheckedJson& item : json.items()) {
    if (const auto special = item.find("SpecialToken")) {
      add_special(special->at("id").text(), special->at("type_id").whole(0, INT32_MAX),
                  special_tokens, places);
      continue;
    }
    const CheckedJson sequence = item.at("Sequence");
    const std::string id = sequence.at("id").text();
    if (id != "A" && id != "B") sequence.fail("the id of a sequence is A or B. Mend the file.");
    places.push_back({.part = id == "A" ? Part::kFirst : Part::kSecond,
                      .segment = sequence.at("type_id").whole(0, INT32_MAX)});
  }
  return places;
}

SequenceTemplate template_of(const CheckedJson& json) {
  const nlohmann::json none = nlohmann::json::object();
  const CheckedJson special_tokens =
      json.find("special_tokens").value_or(CheckedJson(none, json.place()));
  SequenceTemplate sequence{.single = places_of(json.at("single"), special_tokens),
                            .pair = places_of(json.at("pair"), special_tokens)};
  require_once(sequence.single, Part::kFirst, json.at("single"));
  require_once(sequence.pair, Part::kFirst, json.at("pair"));
  require_once(sequence.pair, Part::kSecond, json.at("pair"));
  const auto is_second = [](const Place& place) { return place.part == Part::kSecond; };
  if (std::any_of(sequence.single.begin(), sequence.single.end(), is_second)) {
    json.at("single").fail("the template of one text has a second. Mend the file.");
  }
  return sequence;
}

// ["[SEP]", 102]
int64_t id_of(const CheckedJson& json) {
  const std::vector<CheckedJson> parts = json.items();
  if (parts.size() != 2) json.fail("this must be a token and its id. Mend the file.");
  return parts[1].whole(0, INT32_MAX);
}

// [CLS] A [SEP] B [SEP], where RoBERTa has a second separator between the texts and no segments.
SequenceTemplate classic_template(const CheckedJson& json, bool is_roberta) {
  const Place cls{.part = Part::kSpecial, .id = id_of(json.at("cls"))};
  const Place separator{.part = Part::kSpecial, .id = id_of(json.at("sep"))};
  const int64_t second = is_roberta ? 0 : 1;
  SequenceTemplate sequence{.single = {cls, {.part = Part::kFirst}, separator},
                            .pair = {cls, {.part = Part::kFirst}, separator}};
  if (is_roberta) sequence.pair.push_back(separator);
  sequence.pair.push_back({.part = Part::kSecond, .segment = second});
  sequence.pair.push_back({.part = Part::kSpecial, .id = separator.id, .segment = second});
  return sequence;
}

PostProcessor in_sequence(const CheckedJson& json) {
  PostProcessor all;
  bool has_template = false;
  for (const CheckedJson& item : json.at("processors").items()) {
    const PostProcessor one = make_post_processor(item);
    all.trims_spans |= one.trims_spans;
    if (item.at("type").text() == "ByteLevel") continue;
    if (has_template) item.fail("two templates in a row are not supported. Leave one.");
    has_template = true;
    all.sequence = one.sequence;
  }
  return all;
}

}  // namespace

PostProcessor make_post_processor(const CheckedJson& json) {
  const std::string type = json.at("type").text();
  if (type == "TemplateProcessing") return {.sequence = template_of(json)};
  if (type == "BertProcessing") return {.sequence = classic_template(json, false)};
  if (type == "RobertaProcessing") {
    return {.sequence = classic_template(json, true),
            .trims_spans = json.flag_or("trim_offsets", true)};
  }
  if (type == "ByteLevel")
    return {.sequence = {}, .trims_spans = json.flag_or("trim_offsets", true)};
  if (type == "Sequence") return in_sequence(json);
  json.fail(fmt::format(
      "the post-processor \"{}\" is not supported. Supported are BertProcessing, ByteLevel, "
      "RobertaProcessing, Sequence and TemplateProcessing.",
      type));
}

}  // namespace lowrank::text
