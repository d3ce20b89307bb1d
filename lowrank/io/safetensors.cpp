// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/safetensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"

namespace lowrank::io {
namespace {

static_assert(std::endian::native == std::endian::little,
              "The format's numbers are little-endian.");

// Unordered on purpose: the ordered kind looks names up one by one, and a header may hold many.
using Header = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr uint64_t kAlignment = 8;
constexpr const char* kMetadata = "__metadata__";

struct Dtype {
  std::string_view name;
  int64_t bits;
  at::ScalarType type;  // Undefined: LibTorch has none
};

constexpr std::array kDtypes = {
    Dtype{"F64", 64, at::kDouble},
    Dtype{"F32", 32, at::kFloat},
    Dtype{"F16", 16, at::kHalf},
    Dtype{"BF16", 16, at::kBFloat16},
    Dtype{"F8_E4M3", 8, at::kFloat8_e4m3fn},
    Dtype{"F8_E5M2", 8, at::kFloat8_e5m2},
    Dtype{"F8_E4M3FNUZ", 8, at::kFloat8_e4m3fnuz},
    Dtype{"F8_E5M2FNUZ", 8, at::kFloat8_e5m2fnuz},
    Dtype{"F8_E8M0", 8, at::kFloat8_e8m0fnu},
    Dtype{"F6_E2M3", 6, at::ScalarType::Undefined},
    Dtype{"F6_E3M2", 6, at::ScalarType::Undefined},
    Dtype{"F4", 4, at::ScalarType::Undefined},
    Dtype{"C64", 64, at::kComplexFloat},
    Dtype{"I64", 64, at::kLong},
    Dtype{"I32", 32, at::kInt},
    Dtype{"I16", 16, at::kShort},
    Dtype{"I8", 8, at::kChar},
    Dtype{"U64", 64, at::kUInt64},
    Dtype{"U32", 32, at::kUInt32},
    Dtype{"U16", 16, at::kUInt16},
    Dtype{"U8", 8, at::kByte},
    Dtype{"BOOL", 8, at::kBool},
};

// Null where the format has no such type.
const Dtype* find_dtype(std::string_view name) {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                  [&](const Dtype& dtype) { return dtype.name == name; });
  return found == kDtypes.end() ? nullptr : &*found;
}

std::string dtype_names() {
  std::vector<std::string_view> names;
  for (const Dtype& dtype : kDtypes) names.push_back(dtype.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// A name or a piece of JSON as messages show it: quoted, without control characters, not too long.
std::string shown(const Header& json) {
  std::string text = json.dump(-1, ' ', true, Header::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

std::string got(const std::string& rule, const Header& found) {
  return fmt::format("{}; got {}", rule, shown(found));
}

// ---- Writing

std::string_view dtype_name(const std::filesystem::path& path, const std::string& name,
                            const at::Tensor& tensor) {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const Dtype& dtype) {
    return dtype.type == tensor.scalar_type();
  });
  if (found != kDtypes.end()) return found->name;
  throw Error(fmt::format("{}: tensor {} is of type {}; the format has {}. Convert it first.",
                          path.string(), shown(name), c10::toString(tensor.scalar_type()),
                          dtype_names()));
}

void require_savable(const std::filesystem::path& path, const NamedTensors& tensors) {
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    const char* problem = !names.insert(name).second ? "is given twice; names must be distinct"
                          : name == kMetadata        ? "has the name kept for metadata"
                          : !tensor.defined()        ? "is undefined"
                          : tensor.layout() != at::kStrided ? "is not dense; convert it first"
                                                            : nullptr;
    if (problem) throw Error(fmt::format("{}: tensor {} {}.", path.string(), shown(name), problem));
  }
}

// Widest elements first, so that each tensor begins at a multiple of its element's size: the format
// allows no padding between tensors.
NamedTensors in_file_order(NamedTensors tensors) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  return tensors;
}

std::string make_header(const std::filesystem::path& path, const NamedTensors& tensors,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json::object_t header;  // built by push_back: names are known to be distinct
  if (!metadata.empty()) header.push_back({kMetadata, metadata});
  uint64_t end = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t begin = end;
    end += tensor.nbytes();
    nlohmann::ordered_json entry;
    entry["dtype"] = dtype_name(path, name, tensor);
    entry["shape"] = tensor.sizes().vec();
    entry["data_offsets"] = {begin, end};
    header.push_back({name, std::move(entry)});
  }
  try {
    std::string text = nlohmann::ordered_json(std::move(header)).dump();
    text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
    return text;
  } catch (const nlohmann::json::type_error&) {
    throw Error(
        fmt::format("{}: a tensor's name or the metadata is not UTF-8. Rename it.", path.string()));
  }
}

template <class T>
std::string_view bytes_of(const T* values, size_t bytes) {
  return {reinterpret_cast<const char*>(values), bytes};
}

// ---- Reading

class Reader {
 public:
  Reader(std::span<const std::byte> file, const std::string& where)
      : file_(reinterpret_cast<const char*>(file.data()), file.size()), where_(where) {
    header_bytes_ = read_length();
    json_ = read_json();
    header_.data_begin = kLengthBytes + header_bytes_;
    header_.metadata = metadata();
    header_.entries = entries();
  }

  const SafetensorsHeader& header() const { return header_; }

  at::Tensor read(const SafetensorsEntry& entry) const {
    const at::ScalarType type = find_dtype(entry.dtype)->type;
    if (type == at::ScalarType::Undefined) {
      fail_tensor(entry.name,
                  fmt::format("is of type {}, which LibTorch does not have. Convert it first",
                              entry.dtype));
    }
    const at::Tensor tensor = at::empty(entry.shape, at::TensorOptions().dtype(type));
    const uint64_t bytes = entry.end - entry.begin;
    if (bytes > 0)
      std::memcpy(tensor.mutable_data_ptr(), file_.data() + header_.data_begin + entry.begin,
                  bytes);
    if (type == at::kBool) require_booleans(entry, tensor);
    return tensor;
  }

 private:
  std::map<std::string, std::string> metadata() const {
    std::map<std::string, std::string> metadata;
    const auto found = json_.find(kMetadata);
    if (found == json_.end()) return metadata;
    if (!found->is_object()) fail(got("\"__metadata__\" must be an object", *found));
    for (const auto& [key, value] : found->items()) {
      if (!value.is_string()) fail(got("\"__metadata__\" must hold strings", value));
      metadata[key] = value.get<std::string>();
    }
    return metadata;
  }

  // In the order of their bytes, which cover the data without overlap and without gap.
  std::vector<SafetensorsEntry> entries() const {
    std::vector<SafetensorsEntry> entries;
    for (const auto& [name, json] : json_.items()) {
      if (name != kMetadata) entries.push_back(entry(name, json));
    }
    std::sort(entries.begin(), entries.end(),
              [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
              });
    uint64_t end = 0;
    for (const SafetensorsEntry& entry : entries) {
      if (entry.begin != end) {
        fail_tensor(entry.name,
                    fmt::format("begins at byte {} of the data, where {} ends at byte {}; "
                                "tensors must follow each other without gap or overlap",
                                entry.begin, end ? "the tensor before it" : "the header", end));
      }
      end = entry.end;
    }
    if (end != data_bytes()) {
      fail(
          fmt::format("its tensors end at byte {} of {} bytes of data; they must cover it. The "
                      "file may be incomplete or written by something else",
                      end, data_bytes()));
    }
    return entries;
  }

  uint64_t data_bytes() const { return file_.size() - header_.data_begin; }

  uint64_t read_length() {
    if (file_.size() < kLengthBytes) {
      fail(
          fmt::format("it has {} bytes; a safetensors file begins with 8 bytes that hold the "
                      "header's length. The file may be incomplete",
                      file_.size()));
    }
    uint64_t length = 0;
    std::memcpy(&length, file_.data(), sizeof length);
    if (length < 2 || length > kMaxHeaderBytes) {
      fail(
          fmt::format("its header has {} bytes; it must be 2 to {}. This may not be a safetensors "
                      "file",
                      length, kMaxHeaderBytes));
    }
    if (length > file_.size() - kLengthBytes) {
      fail(
          fmt::format("its header ends at byte {}, past the end of the file at {}. The file may be "
                      "incomplete",
                      kLengthBytes + length, file_.size()));
    }
    return length;
  }

  // The parser itself would keep the last of two equal names, and take any depth.
  Header read_json() const {
    const std::string_view text = file_.substr(kLengthBytes, header_bytes_);
    std::vector<std::set<std::string>> names;
    const auto check = [&](int depth, Header::parse_event_t event, const Header& parsed) {
      constexpr int kDepth = 4;
      if (depth > kDepth) fail("its header is nested too deeply");
      if (event == Header::parse_event_t::object_start) names.emplace_back();
      if (event == Header::parse_event_t::object_end) names.pop_back();
      if (event == Header::parse_event_t::key &&
          !names.back().insert(parsed.get<std::string>()).second) {
        fail(fmt::format("its header has {} twice; names must be distinct", shown(parsed)));
      }
      return true;
    };
    try {
      Header header = Header::parse(text, check);
      if (!header.is_object()) fail(got("its header must be a JSON object", header));
      return header;
    } catch (const Header::out_of_range&) {
      fail("its header has a number too large to read. This may not be a safetensors file");
    } catch (const Header::parse_error& error) {
      fail(
          fmt::format("its header is not JSON, from byte {} on. This may not be a safetensors file",
                      kLengthBytes + error.byte));
    }
  }

  SafetensorsEntry entry(const std::string& name, const Header& json) const {
    if (!json.is_object()) fail_tensor(name, got("must be described by an object", json));
    for (const auto& [key, value] : json.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        fail_tensor(name, got("has a key that the format does not know", key));
      }
    }
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!json.contains(key)) fail_tensor(name, fmt::format("has no \"{}\"", key));
    }
    SafetensorsEntry entry{name, std::string(dtype(name, json["dtype"]).name), {}, 0, 0};
    const Header& offsets = json["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fail_tensor(name, got("needs two whole numbers as \"data_offsets\"", offsets));
    }
    entry.begin = offsets[0].get<uint64_t>();
    entry.end = offsets[1].get<uint64_t>();
    if (entry.begin > entry.end) fail_tensor(name, got("ends before it begins", offsets));
    if (entry.end > data_bytes()) {
      fail_tensor(name,
                  fmt::format("ends at byte {} of the data, past its end at {}. The file may be "
                              "incomplete",
                              entry.end, data_bytes()));
    }
    entry.shape = shape(name, json["shape"]);
    const uint64_t bytes = byte_count(name, json["shape"], entry);
    if (bytes != entry.end - entry.begin) {
      fail_tensor(name, fmt::format("of type {} and shape {} takes {} bytes; it has {}",
                                    json["dtype"].get<std::string>(), shown(json["shape"]), bytes,
                                    entry.end - entry.begin));
    }
    return entry;
  }

  const Dtype& dtype(const std::string& name, const Header& json) const {
    const Dtype* found =
        json.is_string() ? find_dtype(json.get_ref<const std::string&>()) : nullptr;
    if (!found) fail_tensor(name, got("has a dtype that is none of " + dtype_names(), json));
    return *found;
  }

  std::vector<int64_t> shape(const std::string& name, const Header& json) const {
    constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
    const auto valid = [](const Header& size) {
      return size.is_number_unsigned() && size.get<uint64_t>() <= kMax;
    };
    if (!json.is_array() || !std::all_of(json.begin(), json.end(), valid)) {
      fail_tensor(name, got("needs a list of whole numbers from 0 as \"shape\"", json));
    }
    return json.get<std::vector<int64_t>>();
  }

  // Sizes of zero are left out of the product at first: LibTorch multiplies the others into strides.
  uint64_t byte_count(const std::string& name, const Header& json,
                      const SafetensorsEntry& entry) const {
    int64_t bits = find_dtype(entry.dtype)->bits;
    for (const int64_t size : entry.shape) {
      if (__builtin_mul_overflow(bits, std::max<int64_t>(size, 1), &bits)) {
        fail_tensor(name, got("has a shape whose size is not a 64-bit number", json));
      }
    }
    if (std::count(entry.shape.begin(), entry.shape.end(), 0) > 0) return 0;
    if (bits % 8 != 0) {
      fail_tensor(
          name,
          got(fmt::format("of type {} has a shape that ends within a byte", entry.dtype), json));
    }
    return static_cast<uint64_t>(bits / 8);
  }

  void require_booleans(const SafetensorsEntry& entry, const at::Tensor& tensor) const {
    const auto* bytes = static_cast<const uint8_t*>(tensor.const_data_ptr());
    const auto* end = bytes + tensor.nbytes();
    const auto* wrong = std::find_if(bytes, end, [](uint8_t byte) { return byte > 1; });
    if (wrong != end)
      fail_tensor(entry.name, fmt::format("is BOOL and holds {}; it must be 0 or 1", *wrong));
  }

  [[noreturn]] void fail(const std::string& rule) const {
    throw Error(fmt::format("{}: {}.", where_, rule));
  }

  [[noreturn]] void fail_tensor(const std::string& name, const std::string& rule) const {
    fail(fmt::format("tensor {} {}", shown(name), rule));
  }

  std::string_view file_;
  std::string where_;
  uint64_t header_bytes_ = 0;
  Header json_;
  SafetensorsHeader header_;
};

}  // namespace

void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata) {
  require_savable(path, tensors);
  const NamedTensors ordered = in_file_order(tensors);
  const std::string header = make_header(path, ordered, metadata);
  const uint64_t length = header.size();
  AtomicFile file(path);
  file.write(bytes_of(&length, sizeof length));
  file.write(header);
  for (const auto& [name, tensor] : ordered) {
    const at::Tensor dense = tensor.detach().to(at::kCPU).contiguous();
    file.write(bytes_of(dense.const_data_ptr(), dense.nbytes()));
  }
  file.commit();
}

NamedTensors load_safetensors(const std::filesystem::path& path) {
  return read_safetensors(MappedFile(path).bytes(), path.string());
}

SafetensorsHeader load_safetensors_header(const std::filesystem::path& path) {
  return read_safetensors_header(MappedFile(path).bytes(), path.string());
}

std::map<std::string, std::string> load_safetensors_metadata(const std::filesystem::path& path) {
  return load_safetensors_header(path).metadata;
}

SafetensorsHeader read_safetensors_header(std::span<const std::byte> file,
                                          const std::string& where) {
  return Reader(file, where).header();
}

NamedTensors read_safetensors(std::span<const std::byte> file, const std::string& where) {
  const Reader reader(file, where);
  NamedTensors tensors;
  for (const SafetensorsEntry& entry : reader.header().entries) {
    tensors.emplace_back(entry.name, reader.read(entry));
  }
  return tensors;
}

}  // namespace lowrank::io
