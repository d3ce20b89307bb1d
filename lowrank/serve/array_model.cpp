// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/array_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "lowrank/models/dtype.h"
#include "lowrank/serve/text_model.h"

namespace lowrank::serve {
namespace {

[[noreturn]] void fail(const std::string& source, const std::string& message) {
  throw Error(fmt::format("{}: {}", source, message));
}

bool reads_ids(const models::ForeignSignature& signature) { return signature.width == 0; }

void check_shape(const ArrayModel& model, const at::Tensor& array, const std::string& source) {
  const bool ids = reads_ids(model.signature);
  const int64_t of_one = ids ? 1 : 2, width = model.signature.width;
  const bool fits =
      (array.dim() == of_one || array.dim() == of_one + 1) && (ids || array.size(-1) == width);
  if (fits) return;
  fail(source,
       fmt::format("an array of shape [{}]; {} reads {}. {}.", fmt::join(array.sizes().vec(), ", "),
                   model.folder.string(), shape_in_words(model.signature),
                   ids ? "Save token ids" : "Save a row for each vector"));
}

void check_length(const ArrayModel& model, int64_t n, const std::string& source) {
  const models::ForeignSignature& signature = model.signature;
  if (n >= signature.shortest && n <= signature.longest) return;
  fail(source, fmt::format("a sequence of {} rows; {} takes {} {}. {}.", n, model.folder.string(),
                           signature.longest,
                           signature.shortest == signature.longest ? "exactly" : "at most",
                           n > signature.longest ? "Cut it" : "Pad it"));
}

at::Tensor vectors_of(const ArrayModel& model, const at::Tensor& array, const std::string& source) {
  if (array.is_complex()) {
    fail(source, "the array holds complex numbers; vectors are of real ones. Save those.");
  }
  const at::Tensor numbers = array.to(model.module->parameters().front().options());
  if (numbers.isfinite().all().item<bool>()) return numbers;
  fail(source, fmt::format("it holds infinite numbers or NaN in {}; vectors are finite. Mend them.",
                           models::dtype_name(numbers.scalar_type())));
}

at::Tensor ids_of(const ArrayModel& model, const at::Tensor& array, const std::string& source) {
  if (!at::isIntegralType(array.scalar_type(), /*includeBool=*/false)) {
    fail(source, fmt::format("its elements are {}; token ids are whole numbers. Save them so.",
                             models::dtype_name(array.scalar_type())));
  }
  const at::Tensor ids = array.to(at::kLong);
  const at::Tensor strange = ids.lt(0).logical_or_(ids.ge(model.signature.vocabulary));
  if (strange.any().item<bool>()) {
    fail(source, fmt::format("it holds the id {}; {} has tokens 0 to {}. Use its tokenizer's ids.",
                             ids.masked_select(strange)[0].item<int64_t>(), model.folder.string(),
                             model.signature.vocabulary - 1));
  }
  return ids.to(model.module->parameters().front().device());
}

}  // namespace

ArrayModel load_array_model(const std::filesystem::path& folder, const std::string& device,
                            const std::string& dtype) {
  const models::ForeignModel loaded = models::load_foreign(folder);
  if (!dtype.empty()) loaded.module->to(models::dtype_of(dtype));
  loaded.module->to(device_of(device));
  return {.module = loaded.module,
          .signature = models::signature_of(loaded.options),
          .package = profile_name(models::profile_of(loaded.options)),
          .folder = folder};
}

std::string shape_in_words(const models::ForeignSignature& signature) {
  const bool exactly = signature.shortest == signature.longest;
  const std::string n = exactly ? fmt::format("{}", signature.longest) : "n";
  const std::string rows = reads_ids(signature) ? n : fmt::format("{}, {}", n, signature.width);
  const bool limited = !exactly && signature.longest < std::numeric_limits<int64_t>::max();
  return fmt::format("{}[{}] or [b, {}]{}", reads_ids(signature) ? "ids " : "", rows, rows,
                     limited ? fmt::format(", n at most {}", signature.longest) : "");
}

std::string command_for(const models::ForeignSignature& signature) {
  return signature.classifies ? "predict" : "embed";
}

std::vector<at::Tensor> sequences_of(const ArrayModel& model, const at::Tensor& array,
                                     const std::string& source) {
  check_shape(model, array, source);
  if (array.numel() == 0) {
    fail(source, "the array is empty; a sequence has one row at least. Leave it out.");
  }
  const bool ids = reads_ids(model.signature);
  const int64_t of_one = ids ? 1 : 2;
  check_length(model, array.size(array.dim() - of_one), source);
  const at::Tensor read = ids ? ids_of(model, array, source) : vectors_of(model, array, source);
  return array.dim() == of_one ? std::vector{read} : read.unbind(0);
}

at::Tensor run(const ArrayModel& model, const at::Tensor& sequence) {
  const at::NoGradGuard no_grad;
  const at::Tensor result = model.module->forward({.x = sequence.unsqueeze(0)})[0].cpu();
  return result.scalar_type() == at::kDouble ? result : result.to(at::kFloat);
}

}  // namespace lowrank::serve
