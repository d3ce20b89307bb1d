// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

// What Python's pickle and torch.save write, put together by hand: protocol 2, without memo.
namespace lowrank::testing {

template <class Number>
std::string little_endian(Number number) {
  std::string bytes(sizeof number, '\0');
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

inline std::string joined(const std::vector<std::string>& parts) {
  std::string whole;
  for (const std::string& part : parts) whole += part;
  return whole;
}

inline std::string pickle(const std::string& value) { return "\x80\x02" + value + "."; }

inline std::string pickled_text(const std::string& text) {
  return "X" + little_endian(static_cast<uint32_t>(text.size())) + text;
}
inline std::string pickled_int(int32_t number) { return "J" + little_endian(number); }
inline std::string pickled_tuple(const std::vector<std::string>& items) {
  return "(" + joined(items) + "t";
}
inline std::string pickled_list(const std::vector<std::string>& items) {
  return "](" + joined(items) + "e";
}
// Keys and values in turn.
inline std::string pickled_dict(const std::vector<std::string>& items) {
  return "}(" + joined(items) + "u";
}
inline std::string pickled_global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string pickled_call(const std::string& module, const std::string& name,
                                const std::vector<std::string>& arguments) {
  return pickled_global(module, name) + pickled_tuple(arguments) + "R";
}

inline std::string pickled_ints(const std::vector<int32_t>& numbers) {
  std::vector<std::string> items;
  for (const int32_t number : numbers) items.push_back(pickled_int(number));
  return pickled_tuple(items);
}

// A storage of so many elements, as zip archives and older files name it.
inline std::string pickled_storage(const std::string& type, const std::string& key, int32_t size) {
  return pickled_tuple({pickled_text("storage"), pickled_global("torch", type), pickled_text(key),
                        pickled_text("cpu"), pickled_int(size)}) +
         "Q";
}

inline std::string pickled_tensor(const std::string& storage, int32_t offset,
                                  const std::vector<int32_t>& sizes,
                                  const std::vector<int32_t>& strides) {
  return pickled_call("torch._utils", "_rebuild_tensor_v2",
                      {storage, pickled_int(offset), pickled_ints(sizes), pickled_ints(strides),
                       "\x89", pickled_call("collections", "OrderedDict", {})});
}

// A whole file of the format before PyTorch 1.6: the content, and one storage of bytes under "0".
inline std::string older_torch_file(const std::string& content, const std::string& storage,
                                    int64_t elements) {
  return std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.") + pickle("M\xe9\x03") +
         pickle(pickled_dict({pickled_text("little_endian"), "\x88"})) + pickle(content) +
         pickle(pickled_list({pickled_text("0")})) + little_endian(elements) + storage;
}

}  // namespace lowrank::testing
