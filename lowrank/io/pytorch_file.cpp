// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/pytorch_file.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"

// Note [Why an own pickle reader]
// torch::jit::Unpickler makes None of an OrderedDict, which is what a state dict is, refuses whole
// numbers that Python writes in other than eight bytes, and gives a tensor any sizes, strides and offset that the
// file asks for without a look at its storage. So LibTorch reads the zip archive, and pickle.h the
// pickle.

namespace lowrank::io {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kZip = "PK\x03\x04";
constexpr uint64_t kMaxPickleBytes = 100'000'000;
constexpr const char* kResave = "Save the tensors alone, with torch.save(model.state_dict(), path)";

[[noreturn]] void fail(const std::string& where, const std::string& rule) {
  throw Error(fmt::format("{}: {}.", where, rule));
}

// ---- What a pickle may ask for

struct NamedType {
  std::string_view name;
  at::ScalarType type;
};

constexpr std::array kStorages = {
    NamedType{"DoubleStorage", at::kDouble},
    NamedType{"FloatStorage", at::kFloat},
    NamedType{"HalfStorage", at::kHalf},
    NamedType{"BFloat16Storage", at::kBFloat16},
    NamedType{"LongStorage", at::kLong},
    NamedType{"IntStorage", at::kInt},
    NamedType{"ShortStorage", at::kShort},
    NamedType{"CharStorage", at::kChar},
    NamedType{"ByteStorage", at::kByte},
    NamedType{"BoolStorage", at::kBool},
    NamedType{"ComplexFloatStorage", at::kComplexFloat},
    NamedType{"ComplexDoubleStorage", at::kComplexDouble},
    NamedType{"UntypedStorage", at::kByte},
};

constexpr std::array kDtypes = {
    NamedType{"float64", at::kDouble},
    NamedType{"float32", at::kFloat},
    NamedType{"float16", at::kHalf},
    NamedType{"bfloat16", at::kBFloat16},
    NamedType{"float8_e4m3fn", at::kFloat8_e4m3fn},
    NamedType{"float8_e5m2", at::kFloat8_e5m2},
    NamedType{"float8_e4m3fnuz", at::kFloat8_e4m3fnuz},
    NamedType{"float8_e5m2fnuz", at::kFloat8_e5m2fnuz},
    NamedType{"float8_e8m0fnu", at::kFloat8_e8m0fnu},
    NamedType{"int64", at::kLong},
    NamedType{"int32", at::kInt},
    NamedType{"int16", at::kShort},
    NamedType{"int8", at::kChar},
    NamedType{"uint64", at::kUInt64},
    NamedType{"uint32", at::kUInt32},
    NamedType{"uint16", at::kUInt16},
    NamedType{"uint8", at::kByte},
    NamedType{"bool", at::kBool},
    NamedType{"complex64", at::kComplexFloat},
    NamedType{"complex128", at::kComplexDouble},
};

template <size_t n>
std::optional<at::ScalarType> type_of(const std::array<NamedType, n>& types,
                                      std::string_view name) {
  for (const NamedType& entry : types) {
    if (entry.name == name) return entry.type;
  }
  return std::nullopt;
}

std::string_view without_prefix(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

// "FloatStorage" of torch.FloatStorage, "UntypedStorage" of torch.storage.UntypedStorage.
std::string_view torch_name(std::string_view global) {
  return without_prefix(without_prefix(global, "torch."), "storage.");
}

bool makes_a_tensor(std::string_view global) {
  return global.starts_with("torch._utils._rebuild_") ||
         global == "torch._tensor._rebuild_from_type_v2";
}

bool is_tensor(const PickleValue& value) {
  return value.kind == Kind::kCall && makes_a_tensor(value.text);
}

// Of torch: tensors and what describes them. Of Python: plain values and containers. Of the rest:
// objects that checkpoints hold beside their tensors, whose names are all that is made of them.
bool is_known(const std::string& global) {
  static const std::set<std::string_view> kKnown = {"torch.Size",
                                                    "torch.Tensor",
                                                    "torch.device",
                                                    "torch.nn.parameter.Parameter",
                                                    "torch.nn.parameter.Buffer",
                                                    "torch.serialization._get_layout",
                                                    "collections.OrderedDict",
                                                    "collections.defaultdict",
                                                    "collections.Counter",
                                                    "collections.deque",
                                                    "_codecs.encode",
                                                    "copyreg._reconstructor",
                                                    "copy_reg._reconstructor",
                                                    "argparse.Namespace",
                                                    "datetime.datetime",
                                                    "datetime.timedelta",
                                                    "datetime.date",
                                                    "typing.Any",
                                                    "uuid.UUID"};
  static const std::set<std::string_view> kBuiltins = {
      "set", "frozenset", "list",      "dict",    "tuple",  "int",   "float", "bool",
      "str", "bytes",     "bytearray", "complex", "object", "slice", "range"};
  constexpr std::array<std::string_view, 7> kLibraries = {
      "omegaconf.",         "numpy.",    "pathlib.", "fairseq.", "transformers.",
      "pytorch_lightning.", "lightning."};
  if (kKnown.contains(global) || makes_a_tensor(global)) return true;
  if (global.starts_with("torch.") &&
      (type_of(kStorages, torch_name(global)) || type_of(kDtypes, torch_name(global)) ||
       torch_name(global).ends_with("Storage") || torch_name(global).starts_with("per_"))) {
    return true;
  }
  for (const std::string_view module : {"builtins.", "__builtin__."}) {
    if (global.starts_with(module)) return kBuiltins.contains(without_prefix(global, module));
  }
  return std::any_of(kLibraries.begin(), kLibraries.end(),
                     [&](std::string_view library) { return global.starts_with(library); });
}

// ---- Where a file's bytes are

class Archive {
 public:
  virtual ~Archive() = default;
  virtual const PickleValue& content() const = 0;
  // The bytes of a storage; nothing where the file has no such storage.
  virtual std::optional<uint64_t> size(const std::string& key) = 0;
  virtual void read(const std::string& key, void* to, uint64_t bytes) = 0;
};

class BytesAdapter : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit BytesAdapter(std::span<const std::byte> bytes) : bytes_(bytes) {}
  size_t size() const override { return bytes_.size(); }
  size_t read(uint64_t position, void* to, size_t bytes, const char*) const override {
    if (position >= bytes_.size()) return 0;
    bytes = std::min(bytes, bytes_.size() - position);
    std::memcpy(to, bytes_.data() + position, bytes);
    return bytes;
  }

 private:
  std::span<const std::byte> bytes_;
};

class ZipArchive : public Archive {
 public:
  ZipArchive(const std::string& where, std::span<const std::byte> file)
      : where_(where), file_bytes_(file.size()) {
    guarded([&] {
      reader_.emplace(std::make_shared<BytesAdapter>(file));
      if (reader_->hasRecord("constants.pkl")) {
        fail(where_, fmt::format("it is a TorchScript program, not a checkpoint. {}", kResave));
      }
      if (!reader_->hasRecord("data.pkl")) {
        fail(where_, "its zip archive has no data.pkl; torch.save writes one");
      }
      if (reader_->hasRecord("byteorder") && text("byteorder") != "little") {
        fail(where_,
             fmt::format("its numbers are not little-endian. {} on another machine", kResave));
      }
      pickle_.emplace(text("data.pkl"), where_, is_known);
    });
  }

  const PickleValue& content() const override { return pickle_->content(); }

  std::optional<uint64_t> size(const std::string& key) override {
    std::optional<uint64_t> size;
    guarded([&] {
      if (reader_->hasRecord("data/" + key)) size = reader_->getRecordSize("data/" + key);
    });
    return size;
  }

  void read(const std::string& key, void* to, uint64_t bytes) override {
    guarded([&] { reader_->getRecord("data/" + key, to, bytes); });
  }

 private:
  // LibTorch's message has more lines than one, and names places in its sources.
  template <class Action>
  void guarded(const Action& action) const {
    try {
      action();
    } catch (const c10::Error& error) {
      const std::string message = error.what_without_backtrace();
      fail(where_, fmt::format("its zip archive cannot be read: {}. The file may be incomplete",
                               message.substr(0, message.find('\n'))));
    }
  }

  // torch.save compresses nothing: a record is never larger than the file.
  std::string text(const std::string& record) {
    const uint64_t size = reader_->getRecordSize(record);
    if (size > std::min(file_bytes_, kMaxPickleBytes)) {
      fail(where_, fmt::format("its {} has {} bytes; {} are allowed. {}", record, size,
                               std::min(file_bytes_, kMaxPickleBytes), kResave));
    }
    std::string bytes(size, '\0');
    reader_->getRecord(record, bytes.data(), size);
    return bytes;
  }

  std::string where_;
  uint64_t file_bytes_;
  std::optional<caffe2::serialize::PyTorchStreamReader> reader_;
  std::optional<Pickle> pickle_;
};

// The format before PyTorch 1.6: five pickles one after the other (a magic number, a version, the
// machine, the content, the storages' keys), then for each key the number of elements and these.
class LegacyArchive : public Archive {
 public:
  static constexpr std::string_view kMagic = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.";

  LegacyArchive(const std::string& where, std::span<const std::byte> file)
      : where_(where), rest_(reinterpret_cast<const char*>(file.data()), file.size()) {
    rest_.remove_prefix(kMagic.size());
    next_pickle();  // the version
    const Pickle machine = next_pickle();
    const PickleValue* little_endian = find(machine.content(), "little_endian");
    if (!little_endian || little_endian->integer != 1) {
      fail(where_,
           fmt::format("its numbers are not little-endian. {} on another machine", kResave));
    }
    content_.emplace(next_pickle());
    find_storages(next_pickle().content());
  }

  const PickleValue& content() const override { return content_->content(); }

  std::optional<uint64_t> size(const std::string& key) override {
    const auto found = storages_.find(key);
    if (found == storages_.end()) return std::nullopt;
    return found->second.size();
  }

  void read(const std::string& key, void* to, uint64_t bytes) override {
    std::memcpy(to, storages_.at(key).data(), bytes);
  }

 private:
  Pickle next_pickle() {
    Pickle pickle(rest_, where_, is_known);
    rest_.remove_prefix(pickle.size());
    return pickle;
  }

  void find_storages(const PickleValue& keys) {
    const std::map<std::string_view, size_t> element_bytes = element_bytes_of_storages();
    for (const PickleValue* key : keys.items) {
      const auto found = element_bytes.find(key->text);
      if (found == element_bytes.end()) fail(where_, "it lists a storage that no tensor names");
      uint64_t bytes = 0;
      if (rest_.size() >= sizeof bytes) std::memcpy(&bytes, rest_.data(), sizeof bytes);
      if (rest_.size() < sizeof bytes || __builtin_mul_overflow(bytes, found->second, &bytes) ||
          bytes > rest_.size() - sizeof bytes) {
        fail(where_, "it ends before the last of its storages. The file may be incomplete");
      }
      storages_[key->text] = rest_.substr(sizeof bytes, bytes);
      rest_.remove_prefix(sizeof bytes + bytes);
    }
  }

  // The storages' elements are counted where they lie, and named where the content speaks of them.
  std::map<std::string_view, size_t> element_bytes_of_storages() const {
    std::map<std::string_view, size_t> sizes;
    for (const PickleValue& value : content_->values()) {
      if (value.kind != Kind::kPersistent) continue;
      const auto& id = value.items[0]->items;
      if (id.size() < 3) continue;
      if (const auto type = type_of(kStorages, torch_name(id[1]->text))) {
        sizes[id[2]->text] = c10::elementSize(*type);
      }
    }
    return sizes;
  }

  std::string where_;
  std::string_view rest_;
  std::optional<Pickle> content_;
  std::map<std::string, std::string_view> storages_;
};

std::unique_ptr<Archive> open_archive(const std::string& where, std::span<const std::byte> file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  if (bytes.starts_with(kZip)) return std::make_unique<ZipArchive>(where, file);
  if (bytes.starts_with(LegacyArchive::kMagic)) {
    return std::make_unique<LegacyArchive>(where, file);
  }
  fail(where,
       "it is no file of torch.save: it begins neither as a zip archive nor as a pickle of one");
}

// Whether all elements lie in a storage of so many. Sizes and strides are not negative.
bool fits(int64_t elements, int64_t offset, const std::vector<int64_t>& sizes,
          const std::vector<int64_t>& strides) {
  if (std::count(sizes.begin(), sizes.end(), 0) > 0) return offset <= elements;
  int64_t last = offset;
  for (size_t i = 0; i < sizes.size(); ++i) {
    int64_t reach = 0;
    if (__builtin_mul_overflow(sizes[i] - 1, strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      return false;
    }
  }
  return last < elements;
}

// Strides of zero let few elements stand for many; LibTorch counts these in 64 bits.
bool is_countable(const std::vector<int64_t>& sizes, int64_t element_bytes) {
  int64_t bytes = element_bytes;
  for (const int64_t size : sizes) {
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) return false;
  }
  return true;
}

}  // namespace

// What a file holds, and the storages that were read from it.
class PytorchFile::Content {
 public:
  Content(const std::string& where, std::span<const std::byte> file,
          std::optional<MappedFile> owned)
      : where_(where), owned_(std::move(owned)), file_(file), archive_(open_archive(where, file)) {}

  const PickleValue& value() const { return archive_->content(); }

  StateDict state_dict(const std::string& root) {
    StateDict dict;
    dict.root = root;
    names_.clear();
    visited_ = 0;
    const PickleValue& taken = at_root(root);
    if (taken.kind != Kind::kDict) {
      fail(where_,
           fmt::format("{} is no dict but {}; a state dict is needed. {}",
                       root.empty() ? "its content" : quoted(root), described(taken), kResave));
    }
    if (&taken != &value()) list_others(root, dict);
    collect(taken, "", 0, dict);
    if (dict.tensors.empty()) {
      fail(where_,
           fmt::format("{} holds no tensor. {}", root.empty() ? "it" : quoted(root), kResave));
    }
    return dict;
  }

  std::string likely_root() {
    for (const char* key : {"state_dict", "model_state_dict", "model", "module"}) {
      const PickleValue* inner = find(value(), key);
      if (inner && inner->kind == Kind::kDict && holds_a_tensor(*inner)) return key;
    }
    return "";
  }

 private:
  static constexpr int kDeepest = 32;
  static constexpr size_t kMost = 1'000'000;

  static std::string quoted(std::string text) {
    if (text.size() > 80) text = text.substr(0, 77) + "...";
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; }, '?');
    return "\"" + text + "\"";
  }

  [[noreturn]] void fail_tensor(const std::string& name, const std::string& rule) const {
    fail(where_, fmt::format("tensor {} {}", quoted(name), rule));
  }

  // ---- Names

  const PickleValue& at_root(const std::string& root) const {
    const PickleValue* at = &value();
    std::string_view rest = root;
    while (!rest.empty()) {
      const size_t dot = std::min(rest.find('.'), rest.size());
      at = find(*at, rest.substr(0, dot));
      if (!at) fail(where_, fmt::format("it has no {}; it holds {}", quoted(root), keys()));
      rest.remove_prefix(std::min(dot + 1, rest.size()));
    }
    return *at;
  }

  std::string keys() const {
    std::string list;
    if (value().kind != Kind::kDict) return described(value());
    for (size_t i = 0; i < value().items.size() && i < 20; i += 2) {
      list += (i ? ", " : "") + quoted(value().items[i]->text);
    }
    return list.empty() ? "nothing" : list;
  }

  static bool holds_a_tensor(const PickleValue& dict) {
    for (size_t i = 1; i < dict.items.size(); i += 2) {
      if (is_tensor(*dict.items[i])) return true;
    }
    return false;
  }

  void list_others(const std::string& root, StateDict& dict) const {
    const auto& items = value().items;
    for (size_t i = 0; value().kind == Kind::kDict && i < items.size(); i += 2) {
      if (items[i]->text == root.substr(0, root.find('.'))) continue;
      dict.left_out.push_back(
          fmt::format("{}: {}", name_of(*items[i], ""), described(*items[i + 1])));
    }
  }

  static std::string name_of(const PickleValue& key, const std::string& prefix) {
    return prefix + (key.kind == Kind::kText  ? key.text
                     : key.kind == Kind::kInt ? fmt::format("{}", key.integer)
                                              : described(key));
  }

  // Values may hold each other, in circles and many times over.
  void collect(const PickleValue& container, const std::string& prefix, int depth,
               StateDict& dict) {
    if (depth > kDeepest) fail(where_, fmt::format("{} is nested too deeply", quoted(prefix)));
    const bool named = container.kind == Kind::kDict;
    for (size_t i = named ? 1 : 0; i < container.items.size(); i += named ? 2 : 1) {
      const std::string name =
          named ? name_of(*container.items[i - 1], prefix) : fmt::format("{}{}", prefix, i);
      collect_one(name, *container.items[i], depth, dict);
      if (++visited_ > kMost) fail(where_, fmt::format("it holds more than {} values", kMost));
    }
  }

  void collect_one(const std::string& name, const PickleValue& item, int depth, StateDict& dict) {
    const bool container =
        item.kind == Kind::kDict || item.kind == Kind::kList || item.kind == Kind::kTuple;
    if (is_tensor(item)) {
      if (!names_.insert(name).second) fail_tensor(name, "is there twice; names must be distinct");
      dict.tensors.emplace_back(name, tensor(name, item, 0));
    } else if (container && !item.items.empty()) {
      collect(item, name + ".", depth + 1, dict);
    } else {
      dict.left_out.push_back(fmt::format("{}: {}", name, described(item)));
    }
  }

  // ---- Tensors

  at::Tensor tensor(const std::string& name, const PickleValue& call, int depth) {
    const std::string& maker = call.text;
    const std::vector<const PickleValue*>& arguments = call.items[0]->items;
    return tensor(name, maker, arguments, depth);
  }

  at::Tensor tensor(const std::string& name, const std::string& maker,
                    const std::vector<const PickleValue*>& arguments, int depth) {
    constexpr int kWrappers = 4;
    const auto argument = [&](size_t i, Kind kind) -> const PickleValue& {
      if (i < arguments.size() && arguments[i]->kind == kind) return *arguments[i];
      fail_tensor(name, fmt::format("is made by {} with a wrong argument {}", maker, i));
    };
    if (depth > kWrappers) fail_tensor(name, "is wrapped in too many parameters");
    if (maker == "torch._tensor._rebuild_from_type_v2") {  // what has attributes
      const auto& inner = argument(2, Kind::kTuple).items;
      return tensor(name, argument(0, Kind::kGlobal).text, inner, depth + 1);
    }
    if (maker.starts_with("torch._utils._rebuild_parameter")) {
      return tensor(name, argument(0, Kind::kCall), depth + 1);
    }
    const bool with_dtype = maker == "torch._utils._rebuild_tensor_v3";
    if (maker != "torch._utils._rebuild_tensor" && maker != "torch._utils._rebuild_tensor_v2" &&
        !with_dtype) {
      fail_tensor(name,
                  fmt::format("is made by {}; only dense tensors can be read. {}", maker, kResave));
    }
    const size_t flags_at = with_dtype ? 7 : 6;
    if (arguments.size() > flags_at) refuse_flags(name, *arguments[flags_at]);
    Storage storage = this->storage(name, argument(0, Kind::kPersistent));
    if (with_dtype) {
      const auto dtype =
          type_of(kDtypes, without_prefix(argument(6, Kind::kGlobal).text, "torch."));
      if (!dtype)
        fail_tensor(name, fmt::format("is of type {}, which is not known", arguments[6]->text));
      storage.type = *dtype;
    }
    if (arguments.size() < 4)
      fail_tensor(name, fmt::format("is made by {} with too few arguments", maker));
    return view(name, storage, argument(1, Kind::kInt).integer, numbers(name, *arguments[2]),
                numbers(name, *arguments[3]));
  }

  // Of complex numbers, a view may be the conjugate of what is stored.
  void refuse_flags(const std::string& name, const PickleValue& flags) const {
    for (size_t i = 1; i < flags.items.size(); i += 2) {
      if (flags.kind == Kind::kDict && flags.items[i]->integer != 0) {
        fail_tensor(name, "is a conjugated or negated view. Save its clone");
      }
    }
  }

  struct Storage {
    at::Tensor bytes;
    at::ScalarType type;
  };

  // Known by ("storage", its class, key, device, number of elements).
  Storage storage(const std::string& name, const PickleValue& persistent) {
    const auto& id = persistent.items[0]->items;
    if (id.size() < 5 || id[0]->text != "storage" || id[1]->kind != Kind::kGlobal ||
        id[2]->kind != Kind::kText || id[4]->kind != Kind::kInt) {
      fail_tensor(name, "has a storage that is not described as torch.save does");
    }
    if (id.size() > 5 && id[5]->kind != Kind::kNone) {
      fail_tensor(name, fmt::format("has a storage that is part of another. {}", kResave));
    }
    const auto type = type_of(kStorages, torch_name(id[1]->text));
    if (!type) {
      fail_tensor(name, fmt::format("has a {}, which cannot be read. {}", id[1]->text, kResave));
    }
    const std::string& key = id[2]->text;
    int64_t bytes = 0;
    if (id[4]->integer < 0 ||
        __builtin_mul_overflow(id[4]->integer, c10::elementSize(*type), &bytes)) {
      fail_tensor(name, fmt::format("has a storage of {} elements", id[4]->integer));
    }
    return {bytes_of(name, key, bytes), *type};
  }

  at::Tensor bytes_of(const std::string& name, const std::string& key, int64_t bytes) {
    if (bytes == 0) return at::empty({0}, at::kByte);
    const auto known = storages_.find(key);
    const std::optional<uint64_t> stored =
        known != storages_.end() ? known->second.nbytes() : archive_->size(key);
    if (!stored) {
      fail_tensor(name, fmt::format("is in storage {}, which the file lacks. It may be incomplete",
                                    quoted(key)));
    }
    if (*stored != static_cast<uint64_t>(bytes) || *stored > file_.size()) {
      fail_tensor(name,
                  fmt::format("is in storage {} of {} bytes, which has {}. The file may be damaged",
                              quoted(key), bytes, *stored));
    }
    if (known != storages_.end()) return known->second;
    const at::Tensor storage = at::empty({bytes}, at::kByte);
    archive_->read(key, storage.mutable_data_ptr(), static_cast<uint64_t>(bytes));
    return storages_[key] = storage;
  }

  std::vector<int64_t> numbers(const std::string& name, const PickleValue& list) const {
    const bool is_size =
        list.kind == Kind::kCall && list.text == "torch.Size" && list.items[0]->items.size() == 1;
    const PickleValue& values = is_size ? *list.items[0]->items[0] : list;
    std::vector<int64_t> numbers;
    for (const PickleValue* value : values.items) {
      if (value->kind != Kind::kInt || value->integer < 0) {
        fail_tensor(name, "has a size or stride that is no whole number from 0");
      }
      numbers.push_back(value->integer);
    }
    return numbers;
  }

  at::Tensor view(const std::string& name, const Storage& storage, int64_t offset,
                  const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides) const {
    const auto element_bytes = static_cast<int64_t>(c10::elementSize(storage.type));
    const int64_t elements = storage.bytes.numel() / element_bytes;
    if (sizes.size() != strides.size() || offset < 0 || !is_countable(sizes, element_bytes) ||
        !fits(elements, offset, sizes, strides)) {
      fail_tensor(
          name, fmt::format("of sizes [{}], strides [{}] and offset {} lies outside its storage of "
                            "{} elements. The file may be damaged",
                            fmt::join(sizes, ", "), fmt::join(strides, ", "), offset, elements));
    }
    const at::Tensor tensor = at::empty({0}, storage.type);
    tensor.set_(storage.bytes.storage(), offset, sizes, strides);
    if (storage.type == at::kBool) require_booleans(name, storage);
    return tensor;
  }

  void require_booleans(const std::string& name, const Storage& storage) const {
    const auto* bytes = storage.bytes.const_data_ptr<uint8_t>();
    const auto* end = bytes + storage.bytes.numel();
    const auto* wrong = std::find_if(bytes, end, [](uint8_t byte) { return byte > 1; });
    if (wrong != end) fail_tensor(name, fmt::format("is of booleans and holds {}", *wrong));
  }

  std::string where_;
  std::optional<MappedFile> owned_;  // whose bytes these are, unless the caller owns them
  std::span<const std::byte> file_;
  std::unique_ptr<Archive> archive_;
  std::map<std::string, at::Tensor> storages_;  // those that were read, by their keys
  std::set<std::string> names_;
  size_t visited_ = 0;
};

PytorchFile::PytorchFile(const std::filesystem::path& path) {
  MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  content_ = std::make_unique<Content>(path.string(), bytes, std::move(file));
}

PytorchFile::PytorchFile(std::span<const std::byte> file, const std::string& where)
    : content_(std::make_unique<Content>(where, file, std::nullopt)) {}

PytorchFile::~PytorchFile() = default;
PytorchFile::PytorchFile(PytorchFile&&) noexcept = default;

const PickleValue& PytorchFile::content() const { return content_->value(); }

StateDict PytorchFile::state_dict() const { return content_->state_dict(content_->likely_root()); }

StateDict PytorchFile::state_dict(const std::string& root) const {
  return content_->state_dict(root);
}

}  // namespace lowrank::io
