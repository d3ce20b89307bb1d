// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/shards.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"

namespace lowrank::io {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxIndexBytes = 100'000'000;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& rule) {
  throw Error(fmt::format("{}: {}.", path.string(), rule));
}

std::string shown(const std::string& text) {
  std::string quoted = Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
  if (quoted.size() > 80) quoted = quoted.substr(0, 77) + "...";
  return quoted;
}

// Builds the index while the file is parsed: a parsed object would keep one of two equal names.
class IndexReader : public nlohmann::json_sax<Json> {
 public:
  explicit IndexReader(ShardIndex& index) : index_(index) {}

  bool found_weight_map() const { return found_; }

  bool start_object(size_t) override {
    ++depth_;
    if (depth_ == 2 && key_ == "weight_map") {
      if (found_) fail(index_.path, "it has \"weight_map\" twice");
      found_ = in_weight_map_ = true;
    } else if (in_weight_map_) {
      refuse_value();
    }
    return require_shallow();
  }
  bool end_object() override {
    if (depth_ == 2) in_weight_map_ = false;
    --depth_;
    return true;
  }
  bool start_array(size_t) override {
    ++depth_;
    return value() && require_shallow();
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(std::string& name) override {
    key_ = name;
    if (in_weight_map_ && !names_.insert(name).second) {
      fail(index_.path,
           fmt::format("its weight_map has {} twice; names must be distinct", shown(name)));
    }
    return true;
  }
  bool string(std::string& shard) override {
    if (in_weight_map_) index_.weight_map.emplace_back(key_, shard);
    return true;
  }
  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(int64_t) override { return value(); }
  bool number_unsigned(uint64_t) override { return value(); }
  bool number_float(double, const std::string&) override { return value(); }
  bool binary(Json::binary_t&) override { return value(); }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    fail(index_.path,
         fmt::format("it is not JSON, from byte {} on. The file may be incomplete", position));
  }

 private:
  bool value() const {
    if (in_weight_map_) refuse_value();
    return true;
  }
  [[noreturn]] void refuse_value() const {
    fail(index_.path, fmt::format("its weight_map gives {} no file name", shown(key_)));
  }
  bool require_shallow() const {
    constexpr int kDeepest = 32;
    if (depth_ > kDeepest) fail(index_.path, "it is nested too deeply");
    return true;
  }

  ShardIndex& index_;
  std::string key_;
  std::set<std::string> names_;
  int depth_ = 0;
  bool found_ = false, in_weight_map_ = false;
};

void require_plain_name(const ShardIndex& index, const std::string& shard) {
  const bool plain = !shard.empty() && shard != "." && shard != ".." &&
                     shard.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
  if (plain) return;
  fail(index.path, fmt::format("it names the shard {}; a shard must be a file in the same folder",
                               shown(shard)));
}

// ---- Writing

constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::vector<NamedTensors> cut(const NamedTensors& tensors, uint64_t max_bytes) {
  std::vector<NamedTensors> shards(1);
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    if (!shards.back().empty() && bytes + tensor.nbytes() > max_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().emplace_back(name, tensor);
    bytes += tensor.nbytes();
  }
  return shards;
}

// Names alone decide: an index may be damaged, and other files are none of ours.
bool is_shard_name(const std::string& name) {
  constexpr std::string_view kPattern = "model-00000-of-00000.safetensors";
  const auto fits = [](char c, char pattern) {
    return pattern == '0' ? c >= '0' && c <= '9' : c == pattern;
  };
  return name.size() == kPattern.size() &&
         std::equal(name.begin(), name.end(), kPattern.begin(), fits);
}

void remove_others(const std::filesystem::path& folder, const std::set<std::string>& written) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name == kWhole || name == kIndex || is_shard_name(name);
    if (ours && !written.contains(name)) std::filesystem::remove(entry.path(), ignored);
  }
}

void require_distinct(const std::filesystem::path& folder, const NamedTensors& tensors) {
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) fail(folder, fmt::format("tensor {} is undefined", shown(name)));
    if (!names.insert(name).second) {
      fail(folder, fmt::format("tensor {} is given twice; names must be distinct", shown(name)));
    }
  }
}

}  // namespace

std::vector<std::string> ShardIndex::shards() const {
  std::vector<std::string> shards;
  std::set<std::string> known;
  for (const auto& [name, shard] : weight_map) {
    if (known.insert(shard).second) shards.push_back(shard);
  }
  return shards;
}

ShardIndex load_shard_index(const std::filesystem::path& path) {
  return read_shard_index(read_file(path, kMaxIndexBytes), path);
}

ShardIndex read_shard_index(std::string_view text, const std::filesystem::path& path) {
  ShardIndex index{path, {}};
  IndexReader reader(index);
  Json::sax_parse(text, &reader);
  if (!reader.found_weight_map()) {
    fail(path, "it has no \"weight_map\", an object that gives each tensor the file that holds it");
  }
  if (index.weight_map.empty()) fail(path, "its weight_map names no tensor");
  for (const std::string& shard : index.shards()) require_plain_name(index, shard);
  return index;
}

NamedTensors load_shards(const ShardIndex& index,
                         const std::function<NamedTensors(const std::filesystem::path&)>& load) {
  const std::map<std::string, std::string> places(index.weight_map.begin(), index.weight_map.end());
  std::set<std::string> missing;
  for (const auto& [name, shard] : places) missing.insert(name);
  NamedTensors tensors;
  for (const std::string& shard : index.shards()) {
    for (auto& [name, tensor] : load(index.path.parent_path() / shard)) {
      const auto place = places.find(name);
      if (place == places.end()) {
        fail(index.path,
             fmt::format("tensor {} of {} is not in its weight_map", shown(name), shard));
      }
      if (place->second != shard) {
        fail(index.path, fmt::format("tensor {} is in {}, while the weight_map says {}",
                                     shown(name), shard, place->second));
      }
      missing.erase(name);
      tensors.emplace_back(name, std::move(tensor));
    }
  }
  if (!missing.empty()) {
    fail(index.path,
         fmt::format("tensor {} is not in {}, where the weight_map says it is ({} such)",
                     shown(*missing.begin()), places.at(*missing.begin()), missing.size()));
  }
  return tensors;
}

void save_shards(const std::filesystem::path& folder, const NamedTensors& tensors,
                 uint64_t max_shard_bytes, const std::map<std::string, std::string>& metadata) {
  require_distinct(folder, tensors);
  const std::vector<NamedTensors> shards = cut(tensors, max_shard_bytes);
  if (shards.size() == 1) {
    save_safetensors(folder / kWhole, tensors, metadata);
    return remove_others(folder, {kWhole});
  }
  constexpr size_t kMost = 99'999;
  if (shards.size() > kMost) {
    fail(
        folder,
        fmt::format("shards of {} bytes would be {} files; at most {} are written. Raise the limit",
                    max_shard_bytes, shards.size(), kMost));
  }
  std::set<std::string> written = {kIndex};
  nlohmann::ordered_json::object_t weight_map;  // names are known to be distinct
  uint64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    save_safetensors(folder / name, shards[i], metadata);
    written.insert(name);
    for (const auto& [tensor_name, tensor] : shards[i]) {
      weight_map.push_back({tensor_name, name});
      total += tensor.nbytes();
    }
  }
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = total;
  index["weight_map"] = std::move(weight_map);
  replace_file(folder / kIndex, index.dump(2) + "\n");
  remove_others(folder, written);
}

}  // namespace lowrank::io
