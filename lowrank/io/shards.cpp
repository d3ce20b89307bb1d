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

}  // namespace

std::vector<std::string> ShardIndex::shards() const {
  std::vector<std::string> shards;
  std::set<std::string> known;
  for (const auto& [name, shard] : weight_map) {
    if (known.insert(shard).second) shards.push_back(shard);
  }
  return shards;
}

ShardIndex read_shard_index(const std::filesystem::path& path) {
  ShardIndex index{path, {}};
  const std::string text = read_file(path, kMaxIndexBytes);
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

}  // namespace lowrank::io
