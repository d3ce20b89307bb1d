// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "lowrank/ops/checks.h"
#include "lowrank/ops/exact.h"
#include "lowrank/ops/linformer.h"
#include "lowrank/ops/nystrom.h"
#include "lowrank/ops/pseudo_inverse.h"
#include "lowrank/ops/segment_means.h"

// The text of each message is part of the interface.
namespace lowrank {
namespace {

using at::Tensor;

template <class Exception, class Call>
void expect_error(const Call& call, const std::string& text) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown; expected: " << text;
  } catch (const Exception& error) {
    EXPECT_THAT(error.what_without_backtrace(), ::testing::HasSubstr(text));
  }
}

template <class Call>
void expect_value_error(const Call& call, const std::string& text) {
  expect_error<c10::ValueError>(call, text);
}

template <class Call>
void expect_type_error(const Call& call, const std::string& text) {
  expect_error<c10::TypeError>(call, text);
}

using Arguments = std::map<std::string, c10::IValue>;

// Calls an op as Python does: with the arguments of its schema that are given, and else its defaults.
void call(const std::string& op, const Arguments& given) {
  const auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(op.c_str(), "");
  std::vector<c10::IValue> stack;
  for (const c10::Argument& argument : handle.schema().arguments()) {
    const auto found = given.find(argument.name());
    stack.push_back(found != given.end() ? found->second
                                         : argument.default_value().value_or(c10::IValue()));
  }
  handle.callBoxed(&stack);
}

struct AttentionOp {
  std::string name, layout;
  Arguments arguments;  // good ones
};

class Checks : public ::testing::Test {
 protected:
  std::vector<AttentionOp> attention_ops() const {
    const Tensor e = at::ones({3, 9});
    const Arguments ragged_arguments = {
        {"q", q}, {"k", q}, {"v", q}, {"e", e}, {"offsets", offsets}};
    const Arguments padded_arguments = {{"q", padded}, {"k", padded}, {"v", padded}, {"e", e}};
    std::vector<AttentionOp> ops;
    for (const std::string kind : {"exact", "nystrom", "linformer"}) {
      ops.push_back(
          {"lowrank::" + kind + "_attention", "[total, heads, head_size]", ragged_arguments});
      ops.push_back({"lowrank::padded_" + kind + "_attention", "[batch, heads, length, head_size]",
                     padded_arguments});
    }
    return ops;
  }

  Tensor q = at::ones({6, 2, 4});
  Tensor offsets = at::tensor({0, 2, 6}, at::kLong);
  Tensor padded = at::ones({2, 2, 3, 4});
};

TEST_F(Checks, EveryAttentionAcceptsTheGoodArguments) {
  for (const AttentionOp& op : attention_ops()) EXPECT_NO_THROW(call(op.name, op.arguments));
}

TEST_F(Checks, EveryAttentionNamesTheInputOfAnotherRankSizeOrDtype) {
  for (const AttentionOp& op : attention_ops()) {
    const auto call_with = [&](const char* name, const Tensor& x) {
      Arguments arguments = op.arguments;
      arguments[name] = x;
      return [&op, arguments] { call(op.name, arguments); };
    };
    const Tensor& good = op.arguments.at("q").toTensor();
    for (const std::string name : {"q", "k", "v"}) {
      expect_value_error(call_with(name.c_str(), at::ones({2, 4})),
                         op.name + ": " + name + " must be " + op.layout +
                             "; got 2 dimensions, sizes [2, 4]. Reshape it.");
    }
    for (const std::string name : {"k", "v"}) {
      expect_type_error(call_with(name.c_str(), good.to(at::kDouble)),
                        op.name + ": q and " + name +
                            " must share one dtype; got Float and Double. Convert " + name +
                            " with .to(q.dtype).");
    }
    expect_type_error(call_with("q", good.to(at::kInt)),
                      op.name +
                          ": q must be float32, bfloat16, float16 or float64; got Int. Convert it "
                          "with .to(torch.float32).");
    expect_value_error(call_with("v", good.narrow(-1, 0, 3)),
                       op.name + ": k and v must have the same sizes; got ");
  }
}

// Tracing, which has no more than sizes, refuses it too.
TEST_F(Checks, NoAttentionIsCausal) {
  for (const AttentionOp& op : attention_ops()) {
    for (const at::DeviceType device : {at::kCPU, at::kMeta}) {
      Arguments arguments = op.arguments;
      for (const char* name : {"q", "k", "v"}) {
        arguments[name] = arguments[name].toTensor().to(device);
      }
      arguments["causal"] = true;
      expect_value_error([&] { call(op.name, arguments); },
                         op.name +
                             ": causal = true; landmarks and projections of a sequence see its "
                             "future, so no causal form is offered. Use torch's "
                             "scaled_dot_product_attention.");
    }
  }
}

// An op whose tensors are on two devices runs on one that a machine may lack, and of the CPU and the
// meta device on the latter, which checks nothing; so the checks are called themselves.
TEST_F(Checks, NameTheDevices) {
  const char* op = "lowrank::some_attention";
  const Tensor meta = q.to(at::kMeta), meta_padded = padded.to(at::kMeta);
  expect_type_error([&] { check_ragged(op, q, meta, meta, offsets, {}); },
                    "lowrank::some_attention: q and k must be on one device; got cpu and meta. "
                    "Move k with .to(q.device).");
  expect_type_error([&] { check_ragged(op, q, q, meta, offsets, {}); },
                    "q and v must be on one device; got cpu and meta. Move v with");
  expect_type_error([&] { check_padded(op, padded, meta_padded, padded, {}); },
                    "q and k must be on one device; got cpu and meta.");
  expect_type_error(
      [&] {
        check_filter(op, at::ones({2, 3}).to(at::kMeta), q);
      },
      "q and filter must be on one device; got cpu and meta. Move filter with");
  expect_type_error(
      [&] {
        check_projection(op, "e", at::ones({3, 9}).to(at::kMeta), q, offsets, 2);
      },
      "e must have the input's dtype and device, Float on cpu; got Float on meta.");
  expect_type_error([&] { check_offsets(op, "offsets_k", offsets.to(at::kMeta), 6); },
                    "offsets_k must be int64 on the CPU; got Long on meta. Convert it with "
                    ".to(\"cpu\", torch.int64).");
}

TEST_F(Checks, NameRankSizesAndRemedyOfTheInputs) {
  expect_value_error([&] { exact_attention(q[0], q, q, offsets); },
                     "lowrank::exact_attention: q must be [total, heads, head_size]; got 2 "
                     "dimensions, sizes [2, 4]. Reshape it.");
  expect_value_error(
      [&] { exact_attention(q, q, q.narrow(0, 0, 5), offsets); },
      "k and v must have the same sizes; got [6, 2, 4] and [5, 2, 4]. Give one value");
  expect_value_error([&] { exact_attention(q.narrow(2, 0, 3), q, q, offsets); },
                     "q and k must share heads and head_size, each at least 1; got [6, 2, 3]");
  expect_value_error(
      [&] { exact_attention(q, q.narrow(0, 0, 5), q.narrow(0, 0, 5), offsets); },
      "q has 6 rows and k has 5; without offsets_k they must agree. Pass offsets_k.");
  const Tensor headless = at::ones({6, 0, 4}), shorter = padded.narrow(2, 0, 2);
  expect_value_error([&] { exact_attention(headless, headless, headless, offsets); },
                     "each at least 1; got [6, 0, 4] and [6, 0, 4]. Project both to one width.");
  expect_value_error([&] { padded_exact_attention(q, q, q); },
                     "q must be [batch, heads, length, head_size]; got 3 dimensions");
  expect_value_error([&] { padded_exact_attention(padded, shorter, shorter); },
                     "q and k must have the same sizes; got [2, 2, 3, 4] and [2, 2, 2, 4]. Use the "
                     "ragged op for cross-attention.");
}

TEST_F(Checks, NameDtypesAndRemedyOfThePieces) {
  const std::string rule = " must be float32, bfloat16, float16 or float64; got Int. Convert it";
  const Tensor ints = at::ones({6, 2}, at::kInt), square = at::eye(3);
  expect_type_error([&] { segment_means(ints, offsets, 4); }, "lowrank::segment_means: x" + rule);
  expect_type_error(
      [&] {
        project_sequences(ints, at::ones({3, 9}), offsets);
      },
      "lowrank::project_sequences: x" + rule);
  expect_type_error([&] { resize_projection(ints, 4); }, "lowrank::resize_projection: e" + rule);
  expect_type_error([&] { pseudo_inverse(square.to(at::kInt)); },
                    "lowrank::pseudo_inverse: a" + rule);
  expect_type_error([&] { pseudo_inverse_residual(square.to(at::kInt), square); },
                    "lowrank::pseudo_inverse_residual: a" + rule);
  expect_type_error([&] { pseudo_inverse_residual(square, square.to(at::kInt)); },
                    "lowrank::pseudo_inverse_residual: z" + rule);
}

TEST_F(Checks, OffsetsAreInt64OnTheCpuAscendingFromZeroToTheEnd) {
  expect_type_error([&] { exact_attention(q, q, q, offsets.to(at::kInt)); },
                    "offsets must be int64 on the CPU; got Int on cpu. Convert it");
  expect_value_error(
      [&] {
        exact_attention(q, q, q, offsets.view({1, 3}));
      },
      "offsets must be [batch + 1]; got sizes [1, 3]. Give the first row");
  expect_value_error([&] { exact_attention(q, q, q, at::empty({0}, at::kLong)); },
                     "offsets must be [batch + 1]; got sizes [0].");
  expect_value_error(
      [&] {
        exact_attention(q, q, q, at::tensor({0, 5}, at::kLong));
      },
      "offsets must go from 0 to 6, the number of rows; got 0 to 5. Give the first");
  expect_value_error(
      [&] {
        exact_attention(q, q, q, at::tensor({1, 6}, at::kLong));
      },
      "offsets must go from 0 to 6, the number of rows; got 1 to 6.");
  expect_value_error(
      [&] {
        exact_attention(q, q, q, at::tensor({0, 4, 3, 6}, at::kLong));
      },
      "offsets must ascend; got 4 before 3 at index 1. Use the running sum");
  expect_value_error(
      [&] {
        exact_cross_attention(q, q, q, offsets, at::tensor({0, 6}, at::kLong));
      },
      "offsets describe 2 sequences and offsets_k 1; they must agree.");
  expect_value_error(
      [&] {
        exact_cross_attention(q, q, q, offsets, at::tensor({0, 2, 5}, at::kLong));
      },
      "offsets_k must go from 0 to 6, the number of rows; got 0 to 5.");
  expect_value_error([&] { segment_means(q.narrow(0, 0, 5), offsets, 4); },
                     "lowrank::segment_means: offsets must go from 0 to 5, the number of rows;");
  expect_value_error(
      [&] {
        project_sequences(at::ones({5, 4}), at::ones({3, 9}), offsets);
      },
      "lowrank::project_sequences: offsets must go from 0 to 5");
}

TEST_F(Checks, OptionsNameTheirRange) {
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.landmarks = 0}); },
                     "landmarks = 0; it must be from 1 to 4096. Choose a value in that range.");
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.landmarks = 4097}); },
                     "landmarks = 4097; it must be from 1 to 4096.");
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.exact_up_to = -1}); },
                     "exact_up_to = -1; it must be from 0 to 65536. Choose a value in that range.");
  expect_value_error(
      [&] { padded_nystrom_attention(padded, padded, padded, {}, {.exact_up_to = 65537}); },
      "lowrank::padded_nystrom_attention: exact_up_to = 65537; it must be from 0 to 65536.");
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.inverse_steps = 33}); },
                     "inverse_steps = 33; it must be from 1 to 32.");
  expect_value_error(
      [&] { padded_nystrom_attention(padded, padded, padded, {}, {.landmarks = 0}); },
      "lowrank::padded_nystrom_attention: landmarks = 0; it must be from 1 to 4096.");
  expect_value_error(
      [&] { padded_nystrom_attention(padded, padded, padded, {}, {.inverse_steps = 0}); },
      "lowrank::padded_nystrom_attention: inverse_steps = 0; it must be from 1 to 32.");
  expect_value_error([&] { segment_means(q, offsets, 0); },
                     "lowrank::segment_means: landmarks = 0; it must be from 1 to 4096.");
  expect_value_error([&] { pseudo_inverse(at::eye(3), 0); },
                     "lowrank::pseudo_inverse: steps = 0; it must be from 1 to 32.");
}

TEST_F(Checks, TheInverseIsOfSquareMatricesAndItsResidualOfAPair) {
  const std::string rule = " must be square matrices [..., m, m]; got sizes ";
  const Tensor wide = at::ones({2, 3}), square = at::eye(3);
  expect_value_error([&] { pseudo_inverse(wide); },
                     "lowrank::pseudo_inverse: a" + rule + "[2, 3]. Reshape it.");
  expect_value_error([&] { pseudo_inverse(at::ones({0, 0})); }, "a" + rule + "[0, 0].");
  expect_value_error([&] { pseudo_inverse_residual(wide, square); },
                     "lowrank::pseudo_inverse_residual: a" + rule + "[2, 3]. Reshape it.");
  expect_value_error([&] { pseudo_inverse_residual(square, square[0]); },
                     "lowrank::pseudo_inverse_residual: z" + rule + "[3]. Reshape it.");
  expect_value_error([&] { pseudo_inverse_residual(square, at::eye(2)); },
                     "lowrank::pseudo_inverse_residual: a and z must have the same sizes; got "
                     "[3, 3] and [2, 2]. Pass z = pseudo_inverse(a).");
}

TEST_F(Checks, MeansAreOfRows) {
  expect_value_error([&] { segment_means(at::ones({}), offsets, 4); },
                     "lowrank::segment_means: x must be [total, ...]; got a scalar. Reshape it.");
}

TEST_F(Checks, TheFilterHasAnOddNumberOfTapsOneRowAHeadAndTheOptionsWidth) {
  expect_value_error(
      [&] {
        nystrom_attention(q, q, q, offsets, {.conv = 4}, at::ones({2, 4}));
      },
      "filter has 4 taps; the number must be odd. Use 5, or pass no filter");
  expect_value_error(
      [&] {
        nystrom_attention(q, q, q, offsets, {.conv = 3}, at::ones({3, 3}));
      },
      "filter must be [2, taps], one row for each head; got sizes [3, 3].");
  expect_value_error(
      [&] {
        nystrom_attention(q, q, q, offsets, {.conv = 5}, at::ones({2, 3}));
      },
      "options.conv = 5 and the filter has 3 taps; they must agree.");
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.conv = 5}); },
                     "options.conv = 5 and the filter has 0 taps; they must agree.");
  const auto attend = [&](const Tensor& filter) {
    return [this, filter] { nystrom_attention(q, q, q, offsets, {.conv = 3}, filter); };
  };
  expect_value_error(attend(at::ones({2, 3, 1})), "options.conv = 3 and the filter has 0 taps");
  expect_value_error(attend(at::ones({1, 3})), "filter must be [2, taps], one row for each head;");
  expect_type_error(attend(at::ones({2, 3}, at::kDouble)),
                    "q and filter must share one dtype; got Float and Double. Convert filter with");
  expect_value_error(
      [&] {
        nystrom_attention(q, q, q, offsets, {}, at::ones({2, 0}));
      },
      "filter has 0 taps; the number must be odd. Use 1, or pass no filter");
}

TEST_F(Checks, TheFilterOfPaddedAttentionFollowsTheSameRules) {
  const auto attend = [&](int64_t conv, const Tensor& filter) {
    return [this, conv, filter] {
      padded_nystrom_attention(padded, padded, padded, {}, {.conv = conv}, filter);
    };
  };
  const std::string op = "lowrank::padded_nystrom_attention: ";
  expect_value_error(attend(5, at::ones({2, 3})),
                     op + "options.conv = 5 and the filter has 3 taps; they must agree.");
  expect_value_error(attend(4, at::ones({2, 4})), op + "filter has 4 taps; the number must be odd");
  expect_value_error(attend(3, at::ones({3, 3})), op + "filter must be [2, taps]");
}

TEST_F(Checks, CrossAttentionHasNoFilter) {
  const Arguments arguments = {{"q", q},
                               {"k", q},
                               {"v", q},
                               {"offsets", offsets},
                               {"offsets_k", offsets},
                               {"filter", at::ones({2, 3})}};
  expect_value_error([&] { call("lowrank::nystrom_attention", arguments); },
                     "lowrank::nystrom_attention: a filter was given with offsets_k; the "
                     "convolution of v has no place in cross-attention. Pass no filter.");
  expect_value_error([&] { nystrom_cross_attention(q, q, q, offsets, offsets, {.conv = 3}); },
                     "options.conv = 3 and the filter has 0 taps; they must agree.");
}

TEST_F(Checks, ASequenceLongerThanTheProjectionNamesBothAndTheRemedy) {
  expect_value_error(
      [&] {
        linformer_attention(q, q, q, at::ones({3, 3}), {}, offsets);
      },
      "lowrank::linformer_attention: a sequence has 4 tokens and e has columns for "
      "3; longer input is refused. Resize it with resize_projection(e, 4)");
  expect_value_error(
      [&] {
        linformer_attention(q, q, q, at::ones({3, 3, 9}), {}, offsets);
      },
      "e must be [projected, max_length] or [heads, projected, max_length]; got "
      "sizes [3, 3, 9] with 2 heads.");
  expect_value_error(
      [&] {
        linformer_attention(q, q, q, at::ones({3, 9}), at::ones({2, 9}), offsets);
      },
      "e has 3 rows and f 2; projected keys and values must agree.");
  expect_value_error(
      [&] {
        project_sequences(q, at::ones({3, 9}), offsets);
      },
      "lowrank::project_sequences: x must be [total, width]; got sizes [6, 2, 4].");
  expect_value_error(
      [&] {
        resize_projection(at::ones({3, 9}), 0);
      },
      "cannot resize 9 columns to 0; both must be at least 1.");
}

TEST_F(Checks, ProjectionsHaveOneRankDtypeAndWidthEnough) {
  const auto attend = [&](const Tensor& e, const Tensor& f = {}) {
    return [this, e, f] { linformer_attention(q, q, q, e, f, offsets); };
  };
  const std::string rule =
      " must be [projected, max_length] or [heads, projected, max_length]; got sizes ";
  expect_value_error(attend(at::ones({9})), "e" + rule + "[9] with 2 heads. Reshape it.");
  expect_value_error(attend(at::ones({0, 9})), "e" + rule + "[0, 9] with 2 heads.");
  expect_value_error(attend(at::ones({3, 9}), at::ones({9})), "f" + rule + "[9] with 2 heads.");
  expect_value_error(attend(at::ones({3, 9}), at::ones({3, 3})),
                     "a sequence has 4 tokens and f has columns for 3; longer input is refused. "
                     "Resize it with resize_projection(f, 4), or shorten the sequence.");
  expect_type_error(attend(at::ones({3, 9}, at::kDouble)),
                    "e must have the input's dtype and device, Float on cpu; got Double on cpu. "
                    "Convert it with .to().");
  expect_value_error(
      [&] {
        padded_linformer_attention(padded, padded, padded, at::ones({3, 2}), {});
      },
      "a sequence has 3 tokens and e has columns for 2; longer input is refused.");
  expect_value_error(
      [&] {
        project_sequences(at::ones({6, 4}), at::ones({2, 3, 9}), offsets);
      },
      "lowrank::project_sequences: e must be [projected, max_length]; got sizes [2, 3, 9]. "
      "Reshape it.");
  expect_value_error([&] { resize_projection(at::ones({9}), 4); },
                     "lowrank::resize_projection: e must be [projected, max_length] or [heads, "
                     "projected, max_length]; got 1 dimensions. Reshape it.");
  expect_value_error(
      [&] {
        resize_projection(at::ones({3, 0}), 4);
      },
      "cannot resize 0 columns to 4; both must be at least 1. Choose a max_length");
}

TEST_F(Checks, TheMaskIsBoolOrLengths) {
  expect_type_error(
      [&] {
        padded_exact_attention(padded, padded, padded, at::ones({2, 3}));
      },
      "mask must be bool [batch, length] or int64 lengths [batch]; got Float.");
  expect_value_error(
      [&] {
        padded_exact_attention(padded, padded, padded, at::ones({2, 4}, at::kBool));
      },
      "int64 lengths [batch] of q [2, 2, 3, 4]; got Bool [2, 4].");
  expect_value_error(
      [&] {
        padded_exact_attention(padded, padded, padded, at::tensor({1, 4}, at::kLong));
      },
      "lengths must be from 0 to 3; got 1 to 4. Pad q, k and v to the longest sequence.");
  for (const Tensor& mask : {at::ones({3}, at::kLong), at::ones({2, 3}, at::kLong),
                             at::ones({3, 3}, at::kBool), at::ones({2}, at::kBool)}) {
    expect_value_error([&] { padded_exact_attention(padded, padded, padded, mask); },
                       "mask must be bool [batch, length] or int64 lengths [batch] of q "
                       "[2, 2, 3, 4]; got ");
  }
}

}  // namespace
}  // namespace lowrank
