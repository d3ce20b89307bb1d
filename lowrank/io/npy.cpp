// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/npy.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "lowrank/base/error.h"

namespace lowrank::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
// The format wants a multiple of 64; at least this has room for two numbers of 64 bits, whatever they become.
constexpr size_t kHeaderBytes = 128, kHeaderStep = 64;
constexpr size_t kVersionBytes = 2;

struct NamedType {
  std::string_view name;
  at::ScalarType type;
};

constexpr std::array kTypes = {
    NamedType{"<f4", at::kFloat},        NamedType{"<f8", at::kDouble},
    NamedType{"<i8", at::kLong},         NamedType{"<f2", at::kHalf},
    NamedType{"<i4", at::kInt},          NamedType{"<i2", at::kShort},
    NamedType{"|i1", at::kChar},         NamedType{"<u8", at::kUInt64},
    NamedType{"<u4", at::kUInt32},       NamedType{"<u2", at::kUInt16},
    NamedType{"|u1", at::kByte},         NamedType{"|b1", at::kBool},
    NamedType{"<c8", at::kComplexFloat}, NamedType{"<c16", at::kComplexDouble},
};
constexpr size_t kWritten = 3;  // the first of these

[[noreturn]] void fail(const std::string& where, const std::string& rule) {
  throw Error(fmt::format("{}: {}.", where, rule));
}

// ---- Reading

struct Array {
  at::ScalarType type = at::kFloat;
  bool columns_first = false;
  std::vector<int64_t> shape;
};

// The header: a Python dict of three entries, {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Array read() {
    Array array;
    std::set<std::string> keys;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      if (!keys.insert(key).second) refuse(fmt::format("has the key '{}' twice", key));
      expect(':');
      read_value(key, array);
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (at_ != text_.size()) refuse("goes on after its end");
    if (keys.size() != 3) refuse("must have the keys descr, fortran_order and shape");
    return array;
  }

 private:
  [[noreturn]] void refuse(const std::string& rule) const {
    fail(where_, fmt::format("its header {}. This may not be a .npy file", rule));
  }

  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  bool accept(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) refuse(fmt::format("has no '{}' at byte {}", c, at_));
  }

  std::string string() {
    skip_spaces();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') refuse(fmt::format("has no text at byte {}", at_));
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) refuse("has text that does not end");
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    const auto odd = [](char c) { return c < ' ' || c > '~' || c == '\\'; };
    if (value.size() > 32 || std::any_of(value.begin(), value.end(), odd)) {
      refuse(fmt::format("has text at byte {} that is none of its words", at_));
    }
    at_ = end + 1;
    return value;
  }

  void read_value(const std::string& key, Array& array) {
    if (key == "descr") {
      array.type = type();
    } else if (key == "fortran_order") {
      array.columns_first = boolean();
    } else if (key == "shape") {
      array.shape = shape();
    } else {
      refuse(fmt::format("has the key '{}', which the format does not know", key));
    }
  }

  at::ScalarType type() {
    if (accept('['))
      fail(where_, "it holds records; one number an element is needed. Save each field");
    const std::string name = string();
    for (const NamedType& entry : kTypes) {
      // One byte has no order: some programs write '<' all the same.
      if (entry.name == name ||
          (entry.name[0] == '|' && name == "<" + std::string(entry.name.substr(1)))) {
        return entry.type;
      }
    }
    const char* remedy = name.starts_with('>')
                             ? "Its numbers are big-endian: save array.astype('<f4')"
                         : name.ends_with('O') ? "It holds Python objects: save an array of numbers"
                                               : "Save array.astype('<f4')";
    fail(where_,
         fmt::format("its elements are of type '{}', which cannot be read. {}", name, remedy));
  }

  bool boolean() {
    skip_spaces();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    refuse("has a fortran_order that is neither True nor False");
  }

  std::vector<int64_t> shape() {
    std::vector<int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      skip_spaces();
      int64_t size = -1;
      const auto [end, code] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), size);
      if (code != std::errc() || size < 0)
        refuse("has a size that is no whole number from 0 of 63 bits");
      at_ = static_cast<size_t>(end - text_.data());
      sizes.push_back(size);
      constexpr size_t kMostDimensions = 32;  // as in NumPy
      if (sizes.size() > kMostDimensions) refuse("has a shape of more than 32 sizes");
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  std::string_view text_;
  std::string where_;
  size_t at_ = 0;
};

// The bytes of an array, zeros among its sizes left out: LibTorch multiplies the others into strides.
std::optional<uint64_t> byte_count(const Array& array) {
  auto bytes = static_cast<int64_t>(c10::elementSize(array.type));
  for (const int64_t size : array.shape) {
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) return std::nullopt;
  }
  const bool empty = std::count(array.shape.begin(), array.shape.end(), 0) > 0;
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

// The header's text, and where the elements begin. Version 1 counts it in two bytes, 2 and 3 in four.
std::pair<std::string_view, size_t> find_header(std::string_view file, const std::string& where) {
  const size_t version_end = kMagic.size() + kVersionBytes;
  if (!file.starts_with(kMagic) || file.size() < version_end) {
    fail(where, "it does not begin as a .npy file does. Save it with numpy.save");
  }
  const auto version = static_cast<uint8_t>(file[kMagic.size()]);
  if (version < 1 || version > 3) {
    fail(where, fmt::format("its format has version {}; 1 to 3 are known", version));
  }
  const size_t length_bytes = version == 1 ? 2 : 4;
  uint32_t length = 0;
  if (file.size() < version_end + length_bytes)
    fail(where, "it ends within its header. It may be incomplete");
  std::memcpy(&length, file.data() + version_end, length_bytes);
  const size_t begin = version_end + length_bytes;
  if (length > file.size() - begin) fail(where, "it ends within its header. It may be incomplete");
  return {file.substr(begin, length), begin + length};
}

void require_booleans(const at::Tensor& tensor, const std::string& where) {
  const auto* bytes = static_cast<const uint8_t*>(tensor.const_data_ptr());
  const auto* end = bytes + tensor.nbytes();
  const auto* wrong = std::find_if(bytes, end, [](uint8_t byte) { return byte > 1; });
  if (wrong != end) fail(where, fmt::format("its elements are booleans, and one is {}", *wrong));
}

}  // namespace

// ---- Writing

namespace {

bool is_written(at::ScalarType dtype) {
  return std::any_of(kTypes.begin(), kTypes.begin() + kWritten,
                     [&](const NamedType& entry) { return entry.type == dtype; });
}

std::string header_of(at::ScalarType dtype, const std::vector<int64_t>& shape) {
  const auto* type = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const NamedType& entry) { return entry.type == dtype; });
  const std::string dict =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", type->name,
                  fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  const size_t before = kMagic.size() + kVersionBytes + sizeof(uint16_t);
  const size_t needed = before + dict.size() + 1;
  const size_t bytes =
      std::max(kHeaderBytes, (needed + kHeaderStep - 1) / kHeaderStep * kHeaderStep);
  const auto length = static_cast<uint16_t>(bytes - before);
  std::string text(kMagic);
  text += std::string("\x01\x00", kVersionBytes);
  text.append(reinterpret_cast<const char*>(&length), sizeof length);
  text += dict;
  text.resize(bytes - 1, ' ');
  return text + '\n';
}

}  // namespace

NpyWriter::NpyWriter(const std::filesystem::path& path, at::ScalarType dtype,
                     std::optional<int64_t> columns)
    : path_(path), file_(path), dtype_(dtype), columns_(columns) {
  if (!is_written(dtype) || columns.value_or(0) < 0) {
    fail(path.string(),
         fmt::format("an array of {} and {} columns cannot be written; it must be of float32, "
                     "float64 or int64",
                     c10::toString(dtype), columns.value_or(0)));
  }
  file_.write(header_of(dtype_, shape()));
}

std::vector<int64_t> NpyWriter::shape() const {
  return columns_ ? std::vector{rows_, *columns_} : std::vector{rows_};
}

void NpyWriter::write(const at::Tensor& rows) {
  const bool fits = rows.scalar_type() == dtype_ && rows.dim() == (columns_ ? 2 : 1) &&
                    (!columns_ || rows.size(1) == *columns_);
  if (!fits) {
    fail(path_.string(),
         fmt::format("rows of {} with {} dimensions do not fit an array of {} with {} columns",
                     c10::toString(rows.scalar_type()), rows.dim(), c10::toString(dtype_),
                     columns_ ? fmt::format("{}", *columns_) : "no"));
  }
  const at::Tensor dense = rows.detach().to(at::kCPU).contiguous();
  file_.write({static_cast<const char*>(dense.const_data_ptr()), dense.nbytes()});
  rows_ += rows.size(0);
}

void NpyWriter::commit() {
  file_.overwrite(0, header_of(dtype_, shape()));
  file_.commit();
}

void save_npy(const std::filesystem::path& path, const at::Tensor& array) {
  if (!is_written(array.scalar_type())) {
    fail(path.string(),
         fmt::format("an array of {} cannot be written; it must be of float32, float64 or int64",
                     c10::toString(array.scalar_type())));
  }
  const at::Tensor dense = array.detach().to(at::kCPU).contiguous();
  AtomicFile file(path);
  file.write(header_of(dense.scalar_type(), dense.sizes().vec()));
  file.write({static_cast<const char*>(dense.const_data_ptr()), dense.nbytes()});
  file.commit();
}

at::Tensor read_npy(std::span<const std::byte> bytes, const std::string& where) {
  const std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto [text, begin] = find_header(file, where);
  const Array array = HeaderReader(text, where).read();
  const std::optional<uint64_t> size = byte_count(array);
  if (!size) fail(where, "its shape has a size that is no 64-bit number of bytes");
  if (*size != file.size() - begin) {
    fail(where,
         fmt::format("its shape takes {} bytes of elements; it has {}. The file may be incomplete",
                     *size, file.size() - begin));
  }
  std::vector<int64_t> sizes = array.shape;
  if (array.columns_first) std::reverse(sizes.begin(), sizes.end());
  at::Tensor tensor = at::empty(sizes, at::TensorOptions().dtype(array.type));
  if (*size > 0) std::memcpy(tensor.mutable_data_ptr(), file.data() + begin, *size);
  if (array.type == at::kBool) require_booleans(tensor, where);
  if (!array.columns_first) return tensor;
  std::vector<int64_t> reversed(sizes.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  return tensor.permute(reversed).contiguous();
}

at::Tensor load_npy(const std::filesystem::path& path) {
  return read_npy(MappedFile(path).bytes(), path.string());
}

}  // namespace lowrank::io
