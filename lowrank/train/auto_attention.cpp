// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/auto_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace lowrank::train {
namespace {

// The entry where it is of kind "auto"; null elsewhere.
NystromOptions* unmeasured(AttentionKind& attention) {
  auto* kind = std::get_if<NystromOptions>(&attention);
  return kind && kind->exact_up_to == models::kToBeMeasured ? kind : nullptr;
}

// Refuses what no measured number would make right.
void check_the_rest(models::ModelConfig model) {
  for (AttentionKind& attention : model.attention) {
    if (NystromOptions* kind = unmeasured(attention)) kind->exact_up_to = 0;
  }
  check(model, "model");
}

AttentionShape shape_of(const Recipe& recipe) {
  return {.heads = recipe.model.heads,
          .head_size = recipe.model.width / recipe.model.heads,
          .dtype = recipe.train.precision == Precision::kBfloat16 ? at::kBFloat16 : at::kFloat,
          .device = at::Device(recipe.train.device),
          .backward = true};
}

// Of a sequence of data.max_length tokens, in patches.
int64_t longest_rows(const Recipe& recipe) {
  const int64_t patch = recipe.model.embeddings.patch;
  return (recipe.data.max_length + patch - 1) / patch;
}

std::string times_in_words(const Comparison& at, const char* rows) {
  return fmt::format("{} {} take {:.3g} ms exact, {:.3g} ms Nystrom", at.n, rows, 1e3 * at.exact,
                     1e3 * at.other);
}

// "auto chose ... (measured here: ...)"; `rows`: what the model calls them.
std::string in_words(const Crossover& found, const char* rows) {
  const auto by_length = [](const Comparison& a, const Comparison& b) { return a.n < b.n; };
  std::vector<Comparison> measured = found.measured;
  std::sort(measured.begin(), measured.end(), by_length);
  const auto above = std::find_if(measured.begin(), measured.end(),
                                  [&](const Comparison& at) { return at.n > found.exact_up_to; });
  if (measured.empty()) {
    return fmt::format(
        "auto measured nothing: no sequence of data.max_length has more than {} {}, "
        "the landmarks, and those get exact attention",
        found.exact_up_to, rows);
  }
  const bool always = above == measured.end();
  return fmt::format("auto chose exact attention up to {} {}, {} (measured here: {})",
                     found.exact_up_to, rows,
                     always ? "as many as data.max_length allows" : "Nystrom above",
                     times_in_words(always ? measured.back() : *above, rows));
}

}  // namespace

Recipe with_measured_attention(Recipe recipe, const MeasureCrossover& measure, const Note& note) {
  check_the_rest(recipe.model);
  const char* const rows = recipe.model.embeddings.patch == 1 ? "tokens" : "rows";
  std::vector<std::pair<NystromOptions, Crossover>> known;
  for (size_t i = 0; i < recipe.model.attention.size(); ++i) {
    NystromOptions* kind = unmeasured(recipe.model.attention[i]);
    if (!kind) continue;
    const auto alike = [&](const auto& entry) { return entry.first == *kind; };
    auto found = std::find_if(known.begin(), known.end(), alike);
    if (found == known.end()) {
      known.emplace_back(*kind, measure(*kind, shape_of(recipe), longest_rows(recipe)));
      found = known.end() - 1;
    }
    note(fmt::format("attention[{}]: {}.", i, in_words(found->second, rows)));
    kind->exact_up_to = found->second.exact_up_to;
  }
  return recipe;
}

Recipe with_attention_of(Recipe recipe, const Recipe& saved) {
  const size_t entries = std::min(recipe.model.attention.size(), saved.model.attention.size());
  for (size_t i = 0; i < entries; ++i) {
    NystromOptions* kind = unmeasured(recipe.model.attention[i]);
    const auto* measured = std::get_if<NystromOptions>(&saved.model.attention[i]);
    if (kind && measured) kind->exact_up_to = measured->exact_up_to;
  }
  return recipe;
}

}  // namespace lowrank::train
