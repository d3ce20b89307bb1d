// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/tokenizer_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/text/checked_json.h"
#include "lowrank/text/pipeline_tokenizer.h"
#include "lowrank/text/sentence_piece.h"
#include "lowrank/text/utf8.h"

namespace lowrank::text {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// What tokenizer_config.json, special_tokens_map.json and config.json say about a tokenizer.
struct Settings {
  std::string model_class;  // "BertTokenizer", "roberta"; empty: nothing says
  RoleNames names;
  std::optional<std::string> bos, eos;
  std::optional<int64_t> max_length;
  std::optional<bool> do_lower_case, strip_accents, tokenize_chinese_chars, add_prefix_space;
};

json parse_file(const fs::path& path) { return parse_checked_json(read_file(path), path.string()); }

// A token is written "text", or {"content": "text", ...}.
std::optional<std::string> token_name(const CheckedJson& file, const char* key) {
  const auto found = file.find(key);
  if (!found) return std::nullopt;
  return found->value().is_object() ? found->at("content").text() : found->text();
}

std::optional<bool> optional_flag(const CheckedJson& file, const char* key) {
  const auto found = file.find(key);
  if (!found) return std::nullopt;
  return found->flag();
}

void read_names(const CheckedJson& file, Settings& settings) {
  const auto read = [&](const char* key, std::optional<std::string>& name) {
    if (!name) name = token_name(file, key);
  };
  read("cls_token", settings.names.cls);
  read("sep_token", settings.names.separator);
  read("mask_token", settings.names.mask);
  read("pad_token", settings.names.pad);
  read("unk_token", settings.names.unknown);
  read("bos_token", settings.bos);
  read("eos_token", settings.eos);
}

Settings read_settings(const fs::path& folder) {
  Settings settings;
  const fs::path config_path = folder / "tokenizer_config.json";
  if (fs::exists(config_path)) {
    const json document = parse_file(config_path);
    const CheckedJson config(document, config_path.string());
    read_names(config, settings);
    settings.model_class = config.text_or("tokenizer_class", "");
    settings.do_lower_case = optional_flag(config, "do_lower_case");
    settings.strip_accents = optional_flag(config, "strip_accents");
    settings.tokenize_chinese_chars = optional_flag(config, "tokenize_chinese_chars");
    settings.add_prefix_space = optional_flag(config, "add_prefix_space");
    constexpr double kNoLimit = 1e15;  // larger numbers are written for "none"
    if (const auto length = config.find("model_max_length");
        length && length->number() < kNoLimit) {
      settings.max_length = std::llround(length->number());
    }
  }
  const fs::path map_path = folder / "special_tokens_map.json";
  if (fs::exists(map_path)) {
    const json document = parse_file(map_path);
    read_names(CheckedJson(document, map_path.string()), settings);
  }
  const fs::path model_path = folder / "config.json";
  if (settings.model_class.empty() && fs::exists(model_path)) {
    const json document = parse_file(model_path);
    if (document.is_object() && document.contains("model_type")) {
      settings.model_class = CheckedJson(document, model_path.string()).at("model_type").text();
    }
  }
  return settings;
}

bool is_class(const Settings& settings, std::string_view name) {
  std::string lower = settings.model_class;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.find(name) != std::string::npos;
}

// Lines without their ends, "\r\n" included. A last line without an end counts.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

std::string read_text(const fs::path& path) {
  std::string text = read_file(path);
  if (const auto at = find_invalid_utf8(text)) {
    throw Error(fmt::format("{}: byte {} is not UTF-8. Mend the file.", path.string(), *at));
  }
  return text;
}

json added_token(const std::string& content, int64_t id, bool lstrip = false) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", lstrip},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

// [CLS] A [SEP] B [SEP], with the names of this tokenizer.
json bert_template(const std::string& cls, int64_t cls_id, const std::string& separator,
                   int64_t separator_id) {
  const auto text = [](const char* id, int type) {
    return json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  const auto special = [](const std::string& id, int type) {
    return json{{"SpecialToken", {{"id", id}, {"type_id", type}}}};
  };
  return {
      {"type", "TemplateProcessing"},
      {"single", {special(cls, 0), text("A", 0), special(separator, 0)}},
      {"pair",
       {special(cls, 0), text("A", 0), special(separator, 0), text("B", 1), special(separator, 1)}},
      {"special_tokens", {{cls, {{"ids", {cls_id}}}}, {separator, {{"ids", {separator_id}}}}}}};
}

// vocab.txt: a piece a line, the first has the id 0.
json word_piece_description(const fs::path& path, const Settings& settings) {
  const std::string text = read_text(path);
  json vocabulary = json::object();
  int64_t id = 0;
  for (const std::string_view line : lines_of(text)) {
    const auto [entry, is_new] = vocabulary.emplace(line, id);
    if (!is_new) {
      throw Error(fmt::format("{}:{}: \"{}\" is there already, in line {}. Mend the file.",
                              path.string(), id + 1, line, entry->get<int64_t>() + 1));
    }
    ++id;
  }
  const auto id_of = [&](const std::string& token) { return vocabulary[token].get<int64_t>(); };
  const std::string unknown = settings.names.unknown.value_or("[UNK]");
  const std::string cls = settings.names.cls.value_or("[CLS]");
  const std::string separator = settings.names.separator.value_or("[SEP]");
  for (const std::string& needed : {unknown, cls, separator}) {
    if (!vocabulary.contains(needed)) {
      throw Error(
          fmt::format("{}: \"{}\" is missing. BERT's vocabulary has it.", path.string(), needed));
    }
  }
  json added = json::array();
  for (const std::string& token : {unknown, separator, settings.names.pad.value_or("[PAD]"), cls,
                                   settings.names.mask.value_or("[MASK]")}) {
    if (vocabulary.contains(token)) added.push_back(added_token(token, id_of(token)));
  }
  json normalizer = {{"type", "BertNormalizer"},
                     {"clean_text", true},
                     {"handle_chinese_chars", settings.tokenize_chinese_chars.value_or(true)},
                     {"lowercase", settings.do_lower_case.value_or(true)}};
  if (settings.strip_accents) normalizer["strip_accents"] = *settings.strip_accents;
  json post = bert_template(cls, id_of(cls), separator, id_of(separator));
  return {
      {"added_tokens", std::move(added)},
      {"normalizer", std::move(normalizer)},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor", std::move(post)},
      {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}}},
      {"model", {{"type", "WordPiece"}, {"unk_token", unknown}, {"vocab", std::move(vocabulary)}}}};
}

// merges.txt: two pieces a line, after a line "#version: ...".
json read_merges(const fs::path& path) {
  const std::string text = read_text(path);
  json merges = json::array();
  for (const std::string_view line : lines_of(text)) {
    if (!line.starts_with("#version") && !line.empty()) merges.push_back(line);
  }
  return merges;
}

json byte_pair_description(const fs::path& folder, const Settings& settings) {
  json vocabulary = parse_file(folder / "vocab.json");
  const auto has = [&](const std::string& token) {
    return vocabulary.is_object() && vocabulary.contains(token) &&
           vocabulary[token].is_number_integer();
  };
  const auto id_of = [&](const std::string& token) { return vocabulary[token].get<int64_t>(); };
  const std::string cls = settings.names.cls.value_or("<s>");
  const std::string separator = settings.names.separator.value_or("</s>");
  const bool is_roberta = !is_class(settings, "gpt2") && has(cls) && has(separator);
  json added = json::array();
  json post;
  if (is_roberta) {
    const std::string mask = settings.names.mask.value_or("<mask>");
    for (const std::string& token : {cls, settings.names.pad.value_or("<pad>"), separator,
                                     settings.names.unknown.value_or("<unk>")}) {
      if (has(token)) added.push_back(added_token(token, id_of(token)));
    }
    if (has(mask)) added.push_back(added_token(mask, id_of(mask), /*lstrip=*/true));
    post = {{"type", "RobertaProcessing"},
            {"cls", {cls, id_of(cls)}},
            {"sep", {separator, id_of(separator)}}};
  } else {
    const std::string end = settings.eos.value_or("<|endoftext|>");
    if (has(end)) added.push_back(added_token(end, id_of(end)));
    post = {{"type", "ByteLevel"}, {"trim_offsets", false}};
  }
  return {
      {"added_tokens", std::move(added)},
      {"pre_tokenizer",
       {{"type", "ByteLevel"}, {"add_prefix_space", settings.add_prefix_space.value_or(false)}}},
      {"post_processor", std::move(post)},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"},
        {"vocab", std::move(vocabulary)},
        {"merges", read_merges(folder / "merges.txt")}}}};
}

double score_of(std::string_view text, const fs::path& path, size_t line) {
  double score = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), score);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(score)) {
    throw Error(fmt::format("{}:{}: a line is a piece, a tab and a number. Mend the file.",
                            path.string(), line));
  }
  return score;
}

// *.vocab: a piece, a tab and its score a line, the first has the id 0.
json unigram_description(const fs::path& path) {
  const std::string text = read_text(path);
  json pieces = json::array();
  std::map<std::string_view, int64_t> ids;
  for (const std::string_view line : lines_of(text)) {
    const size_t tab = line.find('\t');
    const std::string_view score = tab == std::string_view::npos ? "" : line.substr(tab + 1);
    const auto [entry, is_new] = ids.emplace(line.substr(0, tab), std::ssize(pieces));
    if (!is_new) {
      throw Error(fmt::format("{}:{}: \"{}\" is there already, in line {}. Mend the file.",
                              path.string(), pieces.size() + 1, entry->first, entry->second + 1));
    }
    pieces.push_back({entry->first, score_of(score, path, pieces.size() + 1)});
  }
  for (const char* needed : {"<unk>", "[CLS]", "[SEP]"}) {
    if (ids.count(needed) == 0) {
      throw Error(
          fmt::format("{}: \"{}\" is missing. ALBERT's vocabulary has it.", path.string(), needed));
    }
  }
  json added = json::array();
  for (const char* token : {"[CLS]", "[SEP]", "<pad>", "<unk>", "[MASK]"}) {
    const auto found = ids.find(token);
    const bool is_mask = std::string_view(token) == "[MASK]";
    if (found != ids.end()) added.push_back(added_token(token, found->second, is_mask));
  }
  const auto replace = [](json pattern, const char* content) {
    return json{{"type", "Replace"}, {"pattern", std::move(pattern)}, {"content", content}};
  };
  json post = bert_template("[CLS]", ids.at("[CLS]"), "[SEP]", ids.at("[SEP]"));
  return {
      {"added_tokens", std::move(added)},
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {replace({{"String", "``"}}, "\""),
          replace({{"String", "''"}}, "\""),
          {{"type", "NFKD"}},
          {{"type", "StripAccents"}},
          {{"type", "Lowercase"}},
          replace({{"Regex", " {2,}"}}, " ")}}}},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers", {{{"type", "WhitespaceSplit"}}, {{"type", "Metaspace"}}}}}},
      {"post_processor", std::move(post)},
      {"decoder", {{"type", "Metaspace"}}},
      {"model", {{"type", "Unigram"}, {"unk_id", ids.at("<unk>")}, {"vocab", std::move(pieces)}}}};
}

// What tokenizer_config.json says goes before what tokenizer.json says of the same things.
void apply_settings(json& document, const Settings& settings) {
  if (!document.is_object()) return;
  const auto is_type = [&](const char* member, const char* type) {
    return document.contains(member) && document[member].is_object() &&
           document[member].contains("type") && document[member]["type"] == type;
  };
  if (is_type("normalizer", "BertNormalizer")) {
    json& normalizer = document["normalizer"];
    if (settings.do_lower_case) normalizer["lowercase"] = *settings.do_lower_case;
    if (settings.strip_accents) normalizer["strip_accents"] = *settings.strip_accents;
    if (settings.tokenize_chinese_chars) {
      normalizer["handle_chinese_chars"] = *settings.tokenize_chinese_chars;
    }
  }
  if (is_type("pre_tokenizer", "ByteLevel") && settings.add_prefix_space) {
    document["pre_tokenizer"]["add_prefix_space"] = *settings.add_prefix_space;
  }
}

std::shared_ptr<const Tokenizer> make_pipeline(const json& document, const fs::path& path,
                                               const Settings& settings) {
  return std::make_shared<PipelineTokenizer>(CheckedJson(document, path.string()), settings.names,
                                             settings.max_length);
}

// The one file of the folder with this extension; empty where there is none.
fs::path file_with(const fs::path& folder, const char* extension) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == extension) {
      found.push_back(entry.path());
    }
  }
  if (found.size() > 1) {
    throw Error(fmt::format("{}: there are {} files *{}; a tokenizer has one. Remove the others.",
                            folder.string(), found.size(), extension));
  }
  return found.empty() ? fs::path() : found[0];
}

std::shared_ptr<const Tokenizer> load_sentence_piece(const fs::path& path,
                                                     const Settings& settings) {
  for (const char* shifted : {"xlm", "camembert", "mbart", "barthez", "xlnet", "fnet"}) {
    if (!is_class(settings, shifted)) continue;
    throw Error(
        fmt::format("{}: {} gives other ids than this file has. Add the model's tokenizer.json.",
                    path.string(), settings.model_class));
  }
  return make_sentence_piece(path, settings.names, is_class(settings, "t5"), settings.max_length);
}

constexpr std::array kFiles = {
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "vocab.json",
    "merges.txt",     "added_tokens.json"};

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(fmt::format("{}: there is no such folder. A tokenizer's files lie in one.",
                            folder.string()));
  }
  const Settings settings = read_settings(folder);
  const auto path_if_there = [&](const char* name) {
    return fs::exists(folder / name) ? folder / name : fs::path();
  };
  if (const fs::path path = path_if_there("tokenizer.json"); !path.empty()) {
    json document = parse_file(path);
    apply_settings(document, settings);
    return make_pipeline(document, path, settings);
  }
  if (const fs::path path = path_if_there("vocab.txt"); !path.empty()) {
    return make_pipeline(word_piece_description(path, settings), path, settings);
  }
  if (const fs::path path = path_if_there("vocab.json"); !path.empty()) {
    return make_pipeline(byte_pair_description(folder, settings), path, settings);
  }
  if (const fs::path path = file_with(folder, ".model"); !path.empty()) {
    return load_sentence_piece(path, settings);
  }
  if (const fs::path path = file_with(folder, ".vocab"); !path.empty()) {
    return make_pipeline(unigram_description(path), path, settings);
  }
  throw Error(
      fmt::format("{}: there is no tokenizer. A folder with one has tokenizer.json, vocab.txt, "
                  "vocab.json and merges.txt, *.model, or *.vocab.",
                  folder.string()));
}

void copy_tokenizer_files(const fs::path& from, const fs::path& to) {
  std::vector<fs::path> files;
  if (fs::is_directory(from)) {
    for (const auto& entry : fs::directory_iterator(from)) {
      const fs::path& path = entry.path();
      const bool named = std::find(kFiles.begin(), kFiles.end(), path.filename()) != kFiles.end();
      const bool piece = path.extension() == ".model" || path.extension() == ".vocab";
      if (entry.is_regular_file() && (named || piece)) files.push_back(path);
    }
  }
  if (files.empty()) {
    throw Error(fmt::format("{}: there is no tokenizer to copy.", from.string()));
  }
  fs::create_directories(to);
  for (const fs::path& file : files) replace_file(to / file.filename(), read_file(file));
}

}  // namespace lowrank::text
