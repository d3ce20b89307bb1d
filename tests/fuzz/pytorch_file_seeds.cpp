// SPDX-License-Identifier: Apache-2.0
#include <caffe2/serialize/inline_container.h>

#include "tests/fuzz/seeds.h"
#include "tests/support/pickle_bytes.h"

namespace lowrank::testing {
namespace {

std::string zip_with(const std::string& content, const std::string& storage) {
  std::string bytes;
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  writer.writeRecord("data.pkl", content.data(), content.size());
  writer.writeRecord("data/0", storage.data(), storage.size());
  writer.writeEndOfFile();
  return bytes;
}

}  // namespace

std::vector<std::string> seeds() {
  const std::string storage(24, '\x01');
  const std::string six = pickled_storage("FloatStorage", "0", 6);
  const std::string tensor = pickled_tensor(six, 1, {2, 2}, {3, 1});
  const std::string named = pickled_dict(
      {pickled_text("w"), tensor, pickled_text("p"),
       pickled_call("torch._utils", "_rebuild_parameter", {tensor, "\x88", "N"}), pickled_text("t"),
       pickled_call(
           "torch._tensor", "_rebuild_from_type_v2",
           {pickled_global("torch._utils", "_rebuild_tensor_v2"), pickled_global("torch", "Tensor"),
            pickled_tuple({six, pickled_int(0), pickled_ints({6}), pickled_ints({1}), "\x89", "N"}),
            "}"})});
  const std::string typed = pickled_dict(
      {pickled_text("v"),
       pickled_call("torch._utils", "_rebuild_tensor_v3",
                    {pickled_storage("UntypedStorage", "0", 24), pickled_int(0), pickled_ints({12}),
                     pickled_ints({1}), "\x89", "N", pickled_global("torch", "uint16")})});
  const std::string larger = pickled_dict(
      {pickled_text("model"),
       pickled_call("collections", "OrderedDict", {}) + "(" + pickled_text("w") + tensor + "u",
       pickled_text("args"), pickled_call("argparse", "Namespace", {}) + "}b",
       pickled_text("lists"),
       pickled_list({tensor, "N", "\x8a\x02\xff\x7f", std::string("G?\xf0\0\0\0\0\0\0", 9)}),
       "K\x01q\x01", "h\x01"});
  std::vector<std::string> files;
  for (const std::string& content : {named, typed, larger}) {
    files.push_back(older_torch_file(content, storage, 6));
  }
  files.push_back(zip_with(pickle(named), storage));
  return files;
}

}  // namespace lowrank::testing
