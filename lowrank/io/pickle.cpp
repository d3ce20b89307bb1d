// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "lowrank/base/error.h"

namespace lowrank::io {

using Kind = PickleValue::Kind;

namespace {

// The opcodes of protocols 2 to 5 that Python's own pickler writes.
enum Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyList = ']',
  kEmptyTuple = ')',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

bool makes_a_dict(std::string_view global) {
  return global == "collections.OrderedDict" || global == "collections.defaultdict" ||
         global == "collections.Counter" || global == "builtins.dict" ||
         global == "__builtin__.dict";
}

bool is_sequence(const PickleValue& value) {
  return value.kind == Kind::kList || value.kind == Kind::kTuple;
}

}  // namespace

// Carries out the opcodes on a stack of values, as Python does, but for calls.
class PickleReader {
 public:
  PickleReader(std::string_view bytes, std::string where, const Pickle::IsKnown& is_known,
               Pickle& pickle)
      : bytes_(bytes), where_(std::move(where)), is_known_(is_known), pickle_(pickle) {}

  void read() {
    if (take_byte() != kProto) fail("it does not begin as a pickle of protocol 2 or later");
    const uint8_t protocol = take_byte();
    if (protocol < 2 || protocol > 5)
      fail(fmt::format("its protocol {} is none of 2 to 5", protocol));
    for (;;) {
      opcode_at_ = position_;
      const uint8_t opcode = take_byte();
      if (opcode == kStop) break;
      step(opcode);
    }
    pickle_.content_ = pop();
    pickle_.size_ = position_;
  }

 private:
  [[noreturn]] void fail(const std::string& rule) const {
    throw Error(fmt::format("{}: byte {} of its pickle: {}. The file may be damaged.", where_,
                            opcode_at_, rule));
  }

  // ---- Bytes

  std::string_view take(uint64_t size) {
    if (size > bytes_.size() - position_) fail("it ends too early");
    const std::string_view taken = bytes_.substr(position_, size);
    position_ += size;
    return taken;
  }

  uint8_t take_byte() { return static_cast<uint8_t>(take(1)[0]); }

  template <class Number>
  Number take_number() {
    Number number;
    std::memcpy(&number, take(sizeof number).data(), sizeof number);
    return number;
  }

  std::string_view take_line() {
    const size_t end = bytes_.find('\n', position_);
    if (end == std::string_view::npos) fail("it ends too early");
    const std::string_view line = take(end - position_);
    ++position_;
    return line;
  }

  double take_big_endian_double() {
    uint64_t bits = 0;
    for (const char byte : take(sizeof bits)) bits = bits << 8 | static_cast<uint8_t>(byte);
    return std::bit_cast<double>(bits);
  }

  // ---- Values and the stack

  PickleValue* make(Kind kind) {
    pickle_.values_.emplace_back().kind = kind;
    return &pickle_.values_.back();
  }

  void push(PickleValue* value) { stack_.push_back(value); }

  void push_text(Kind kind, std::string_view text) {
    PickleValue* value = make(kind);
    value->text = text;
    push(value);
  }

  void push_int(int64_t number, Kind kind = Kind::kInt) {
    PickleValue* value = make(kind);
    value->integer = number;
    push(value);
  }

  // Nothing below the last mark is taken: Python keeps a stack for each.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  PickleValue* top() {
    if (stack_.size() <= floor()) fail("it takes a value from an empty stack");
    return stack_.back();
  }

  PickleValue* pop() {
    PickleValue* value = top();
    stack_.pop_back();
    return value;
  }

  std::vector<const PickleValue*> pop_to_mark() {
    if (marks_.empty()) fail("it has no mark");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const PickleValue*> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }

  void push_sequence(Kind kind, std::vector<const PickleValue*> items) {
    PickleValue* value = make(kind);
    value->items = std::move(items);
    push(value);
  }

  void push_tuple(size_t size) {
    std::vector<const PickleValue*> items(size);
    for (size_t i = size; i > 0; --i) items[i - 1] = pop();
    push_sequence(Kind::kTuple, std::move(items));
  }

  void remember(uint64_t number) { memo_[number] = top(); }

  void recall(uint64_t number) {
    const auto found = memo_.find(number);
    if (found == memo_.end()) fail(fmt::format("it recalls value {}, which it never kept", number));
    push(found->second);
  }

  // What a list or dict gets, an object of a class that acts as one may get too; of that only its
  // name is kept.
  void add(Kind kind, const std::vector<const PickleValue*>& items) {
    PickleValue* to = top();
    if (kind == Kind::kDict && items.size() % 2 != 0) fail("it has a key without a value");
    if (to->kind == kind) {
      to->items.insert(to->items.end(), items.begin(), items.end());
    } else if (to->kind != Kind::kCall) {
      fail("it adds to a value that takes no elements");
    }
  }

  // ---- Globals and calls

  void push_global(std::string_view module, std::string_view name) {
    const std::string global = fmt::format("{}.{}", module, name);
    if (!is_known_(global)) {
      throw Error(
          fmt::format("{}: its pickle asks for \"{}\", which is neither a tensor nor a plain "
                      "value; nothing was "
                      "run. Save the tensors alone, with torch.save(model.state_dict(), path).",
                      where_, shown(global)));
    }
    push_text(Kind::kGlobal, global);
  }

  // The name may be anything: of what is no printable ASCII, a question mark is shown.
  static std::string shown(std::string text) {
    if (text.size() > 80) text = text.substr(0, 77) + "...";
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return text;
  }

  void call(const PickleValue* function, const PickleValue* arguments) {
    if (function->kind != Kind::kGlobal) fail("it calls what is no function and no class");
    if (arguments->kind != Kind::kTuple) fail("its call has no tuple of arguments");
    if (makes_a_dict(function->text)) return push(dict_of(*arguments));
    PickleValue* value = make(Kind::kCall);
    value->text = function->text;
    value->items = {arguments};
    push(value);
  }

  // OrderedDict([(key, value), ...]) and Counter({key: value}); the first argument of defaultdict is
  // no container.
  PickleValue* dict_of(const PickleValue& arguments) {
    PickleValue* dict = make(Kind::kDict);
    if (arguments.items.empty()) return dict;
    const PickleValue& first = *arguments.items[0];
    // One list may be asked for again and again: what Python writes copies each element once.
    copied_ += first.items.size();
    if (copied_ > bytes_.size()) fail("it copies more elements than it has bytes");
    if (first.kind == Kind::kDict) dict->items = first.items;
    if (first.kind != Kind::kList) return dict;
    for (const PickleValue* pair : first.items) {
      if (!is_sequence(*pair) || pair->items.size() != 2) fail("its dict is made of no pairs");
      dict->items.insert(dict->items.end(), pair->items.begin(), pair->items.end());
    }
    return dict;
  }

  // The attributes of a dict, such as the versions of a state dict's modules, are dropped.
  void build() {
    const PickleValue* state = pop();
    PickleValue* object = top();
    if (object->kind == Kind::kCall) {
      object->items.push_back(state);
    } else if (object->kind != Kind::kDict) {
      fail("it gives a state to what is no object");
    }
  }

  void push_long(std::string_view bytes) {
    if (bytes.size() > sizeof(int64_t)) {
      PickleValue* value = make(Kind::kCall);
      value->text = "builtins.int";
      return push(value);
    }
    const bool negative = !bytes.empty() && static_cast<int8_t>(bytes.back()) < 0;
    int64_t number = negative ? -1 : 0;
    std::memcpy(&number, bytes.data(), bytes.size());
    push_int(number);
  }

  void step(uint8_t opcode) {
    if (!step_number(opcode) && !step_text(opcode) && !step_container(opcode) &&
        !step_object(opcode) && !step_stack(opcode)) {
      fail(fmt::format("its opcode {:#04x} is none of protocols 2 to 5", opcode));
    }
  }

  bool step_number(uint8_t opcode) {
    switch (opcode) {
      case kNone:
        return push(make(Kind::kNone)), true;
      case kNewTrue:
      case kNewFalse:
        return push_int(opcode == kNewTrue, Kind::kBool), true;
      case kBinInt:
        return push_int(take_number<int32_t>()), true;
      case kBinInt1:
        return push_int(take_number<uint8_t>()), true;
      case kBinInt2:
        return push_int(take_number<uint16_t>()), true;
      case kLong1:
        return push_long(take(take_byte())), true;
      case kLong4:
        return push_long(take(take_number<uint32_t>())), true;
      case kBinFloat: {
        PickleValue* value = make(Kind::kFloat);
        value->real = take_big_endian_double();
        return push(value), true;
      }
      default:
        return false;
    }
  }

  bool step_text(uint8_t opcode) {
    switch (opcode) {
      case kBinUnicode:
      case kBinString:
        return push_text(Kind::kText, take(take_number<uint32_t>())), true;
      case kShortBinUnicode:
      case kShortBinString:
        return push_text(Kind::kText, take(take_byte())), true;
      case kBinUnicode8:
        return push_text(Kind::kText, take(take_number<uint64_t>())), true;
      case kBinBytes:
        return push_text(Kind::kBytes, take(take_number<uint32_t>())), true;
      case kShortBinBytes:
        return push_text(Kind::kBytes, take(take_byte())), true;
      case kBinBytes8:
      case kByteArray8:
        return push_text(Kind::kBytes, take(take_number<uint64_t>())), true;
      default:
        return false;
    }
  }

  bool step_container(uint8_t opcode) {
    switch (opcode) {
      case kEmptyDict:
        return push(make(Kind::kDict)), true;
      case kEmptyList:
        return push(make(Kind::kList)), true;
      case kEmptySet:
        return push(make(Kind::kSet)), true;
      case kEmptyTuple:
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return push_tuple(opcode == kEmptyTuple ? 0 : opcode - kTuple1 + 1u), true;
      case kTuple:
        return push_sequence(Kind::kTuple, pop_to_mark()), true;
      case kList:
        return push_sequence(Kind::kList, pop_to_mark()), true;
      case kFrozenSet:
        return push_sequence(Kind::kSet, pop_to_mark()), true;
      case kDict: {
        const auto items = pop_to_mark();
        push(make(Kind::kDict));
        return add(Kind::kDict, items), true;
      }
      case kAppend: {
        const PickleValue* value = pop();
        return add(Kind::kList, {value}), true;
      }
      case kSetItem: {
        const PickleValue* value = pop();
        const PickleValue* key = pop();
        return add(Kind::kDict, {key, value}), true;
      }
      case kAppends:
        return add(Kind::kList, pop_to_mark()), true;
      case kAddItems:
        return add(Kind::kSet, pop_to_mark()), true;
      case kSetItems:
        return add(Kind::kDict, pop_to_mark()), true;
      default:
        return false;
    }
  }

  bool step_object(uint8_t opcode) {
    switch (opcode) {
      case kGlobal: {
        const std::string_view module = take_line();
        return push_global(module, take_line()), true;
      }
      case kStackGlobal: {
        const PickleValue* name = pop();
        const PickleValue* module = pop();
        if (name->kind != Kind::kText || module->kind != Kind::kText) {
          fail("it names a global by something that is no text");
        }
        return push_global(module->text, name->text), true;
      }
      case kNewObjEx:
        pop();  // arguments by name
        [[fallthrough]];
      case kNewObj:
      case kReduce: {
        const PickleValue* arguments = pop();
        return call(pop(), arguments), true;
      }
      case kBuild:
        return build(), true;
      case kBinPersId:
        return push_sequence(Kind::kPersistent, {pop()}), true;
      default:
        return false;
    }
  }

  bool step_stack(uint8_t opcode) {
    switch (opcode) {
      case kMark:
        return marks_.push_back(stack_.size()), true;
      case kPop:
        return pop(), true;
      case kPopMark:
        return pop_to_mark(), true;
      case kDup:
        return push(top()), true;
      case kBinPut:
        return remember(take_byte()), true;
      case kLongBinPut:
        return remember(take_number<uint32_t>()), true;
      case kMemoize:
        return remember(memo_.size()), true;
      case kBinGet:
        return recall(take_byte()), true;
      case kLongBinGet:
        return recall(take_number<uint32_t>()), true;
      case kFrame:  // how the bytes were buffered
        return take(sizeof(uint64_t)), true;
      default:
        return false;
    }
  }

  std::string_view bytes_;
  std::string where_;
  const Pickle::IsKnown& is_known_;
  Pickle& pickle_;
  size_t position_ = 0;
  size_t opcode_at_ = 0;
  size_t copied_ = 0;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // where on the stack each begins
  std::unordered_map<uint64_t, PickleValue*> memo_;
};

Pickle::Pickle(std::string_view bytes, std::string where, const IsKnown& is_known) {
  PickleReader(bytes, std::move(where), is_known, *this).read();
}

std::string described(const PickleValue& value) {
  const auto of = [&](const char* what, size_t count) {
    return fmt::format("{} of {}", what, count);
  };
  switch (value.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.integer ? "True" : "False";
    case Kind::kInt:
      return fmt::format("int {}", value.integer);
    case Kind::kFloat:
      return fmt::format("float {}", value.real);
    case Kind::kText:
      return "text";
    case Kind::kBytes:
      return of("bytes", value.text.size());
    case Kind::kList:
      return of("list", value.items.size());
    case Kind::kTuple:
      return of("tuple", value.items.size());
    case Kind::kSet:
      return of("set", value.items.size());
    case Kind::kDict:
      return of("dict", value.items.size() / 2);
    case Kind::kGlobal:
    case Kind::kCall:
      return value.text;
    case Kind::kPersistent:
      return "storage";
  }
  return "";
}

const PickleValue* find(const PickleValue& dict, std::string_view key) {
  if (dict.kind != Kind::kDict) return nullptr;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    if (dict.items[i]->kind == Kind::kText && dict.items[i]->text == key) return dict.items[i + 1];
  }
  return nullptr;
}

}  // namespace lowrank::io
