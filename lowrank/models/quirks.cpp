// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/quirks.h"

namespace lowrank::models {
namespace {

using Quirks = std::vector<Quirk>;

const Quirk kBatchWideStart = {
    "batch-wide start", "The pseudo-inverse starts from one maximum over the batch and all heads.",
    "A sequence's result depends on its batch mates: by 1 to 3 % with 16 landmarks; and so do the "
    "gradients."};

const Quirk kFewSteps = {
    "unfinished inverse", "Six steps do not always reach the inverse.",
    "Trained weights depend on the same start and number of steps; more steps change the model."};

const Quirk kOneLength = {
    "one length", "Landmarks are cut from a length that the configuration fixes.",
    "Every sequence is padded to it and costs what the longest one does; longer ones are refused."};

const Quirk kPaddedMeans = {
    "padding in the landmarks", "Segment means divide by the whole segment, padding included.",
    "With 25, 50 and 75 % padding a sequence's result is 30, 44 and 70 % off what it is alone."};

const Quirk kNoMask = {
    "no mask", "There is no mask: padding is attended to like tokens.",
    "Results of tokens are 58 % off with random padding; a batch needs sequences of one length."};

Quirks hugging_face(const EncoderTraits& traits) {
  Quirks quirks;
  if (traits.conv) {
    quirks.push_back(
        {"padding in the convolution",
         "The convolution of the values reads padding beyond a sequence's end.",
         "In one layer with a kernel of 65 the last 32 tokens of a padded sequence are "
         "55 % off, a whole one of 256 tokens 17 %."});
  }
  if (traits.exact) {
    quirks.push_back({"exact attention",
                      "As many landmarks as the segment length select exact softmax attention.",
                      "Cost grows with the square of the length, whatever the name says."});
    return quirks;
  }
  quirks.push_back(kOneLength);
  quirks.push_back({"padding in the landmarks",
                    "Padded tokens enter the segment means; only one of three softmaxes is masked.",
                    "What stands in the padding changes the results of tokens by 12 %."});
  if (!traits.per_matrix_start) quirks.push_back(kBatchWideStart);
  quirks.push_back(kFewSteps);
  return quirks;
}

Quirks mlpen(const EncoderTraits& traits) {
  Quirks quirks;
  if (traits.exact) {
    quirks.push_back({"exact attention",
                      "As many landmarks as the segment length select exact softmax attention.",
                      "Cost grows with the square of the length, whatever the name says."});
  } else {
    quirks.push_back(kOneLength);
    quirks.push_back(kPaddedMeans);
    if (!traits.per_matrix_start) quirks.push_back(kBatchWideStart);
    quirks.push_back(kFewSteps);
  }
  quirks.push_back({"masks that are not passed",
                    "There, pretraining and classification call the encoder without a mask.",
                    "Padding was attended to in training; here it is masked, as in question "
                    "answering there, so padded sequences may differ from what was reported."});
  return quirks;
}

// Without paddings there is nothing that a mask could hide.
Quirks fairseq_compression(bool padded) {
  Quirks quirks = {
      {"biases after compression",
       "Keys and values are (E x) W + b, their biases added once to each compressed row.",
       "The function is not E (x W + b); weights work with this order alone."},
      {"all compressed rows", "Keys are always max_length over the ratio, for short sequences too.",
       "20 tokens attend to 32 rows: slower than exact attention."}};
  if (padded) {
    quirks.push_back(
        {"no mask", "The padding mask is accepted and never applied.",
         "From the second layer on the padding changes the results of tokens: by 122 % in one "
         "layer where it is overwritten."});
  }
  return quirks;
}

Quirks quirks_of(const lucidrains::Options& options) {
  Quirks quirks = {
      {"zeros in front",
       "Sequences get zeros in front up to a multiple of the landmarks; without a mask these are "
       "tokens.",
       "Attention is 22 % off with 257 tokens and 256 landmarks, 17 % with 300, 0.5 % with 1,000."},
      {"batch-wide start",
       "The pseudo-inverse starts from a product of two maxima over the batch and all heads.",
       "A sequence's result depends on its batch mates: below 0.1 % with the weights of a fresh "
       "model, "
       "up to 34 % with sharp attention."},
      {"landmarks of the padded length", "With a mask, segments are cut from the padded length.",
       "64 paddings after 512 tokens change the result by 1 to 22 %."},
      {"order of the tokens",
       "Landmarks are means of neighbors, so the order of the tokens matters.",
       "A shuffled bag gives another result."}};
  if (options.inverse_steps < 12) quirks.push_back(kFewSteps);
  return quirks;
}

Quirks quirks_of(const transmil::Options&) {
  return {{"zeros in front",
           "Its nystrom-attention pads with zeros in front of the class token and masks nothing.",
           "Logits move by 12 % for 50 vectors, 5 % for 300, 0.3 % from 5,000 on."},
          {"repeated vectors", "The first vectors are repeated until the bag fills a square.",
           "Up to twice the square root of the bag counts double."},
          {"order of the bag",
           "Landmarks and convolutions take the order of the vectors for their place.",
           "Logits move by 21 % when the bag is shuffled."},
          kFewSteps};
}

Quirks quirks_of(const linformer::Options& options) {
  Quirks quirks = {kNoMask,
                   {"scores grow with the length",
                    "Shorter sequences use the first rows of E, so that projected keys grow with "
                    "the square root "
                    "of the length.",
                    "The norm of a key is 1.9 with 8 tokens, 5.5 with 64 and 10.5 with 256."}};
  if (options.share_kv) {
    quirks.push_back({"values are the keys", "With share_kv the projected keys serve as values.",
                      "Weights work with this alone; it is not what the method describes."});
  }
  if (options.reversible) {
    quirks.push_back(
        {"sum of two streams", "The result is the sum of both reversible streams.",
         "Both start as the input, so the result is about twice as long as an ordinary model's."});
  }
  if (options.vocabulary > 0) {
    quirks.push_back({"sees the future", "LinformerLM has no causal mask.",
                      "It cannot write text: what it predicts it has seen."});
  }
  return quirks;
}

Quirks quirks_of(const linformer_pytorch::Options& options) {
  Quirks quirks = {{"one length", "Sequences must have exactly max_length rows.",
                    "Shorter ones are padded, and the padding is attended to unless it is masked."},
                   {"bias in E", "The projections have biases, which the method has not.",
                    "Masked rows of keys and values still add a constant."}};
  if (options.causal) {
    quirks.push_back({"leaks the future",
                      "The causal mask is laid over projected rows, not over time.",
                      "Changing tokens from 100 on changes results before them by 14 %."});
  }
  if (options.method == linformer_pytorch::Method::kNoParameters) {
    quirks.push_back({"matrices that are not saved",
                      "E and F are random and stand in no state_dict.",
                      "A model that upstream loads again draws new ones: 11 % off."});
  }
  if (options.vocabulary > 0) {
    quirks.push_back({"slow sinusoids",
                      "Positions are sines and cosines to the base 100,000, in halves.",
                      "They are no others' positions; weights depend on them."});
  }
  return quirks;
}

Quirks quirks_of(const fairseq::Options& options) {
  Quirks quirks = fairseq_compression(true);
  if (options.shared_layer) {
    quirks.push_back({"bias that nothing uses",
                      "The shared compression has a bias that is never added.",
                      "It costs nothing."});
  }
  return quirks;
}

}  // namespace

Quirks quirks(Profile profile, const EncoderTraits& traits) {
  switch (profile) {
    case Profile::kHuggingFace:
      return hugging_face(traits);
    case Profile::kMlpen:
      return mlpen(traits);
    case Profile::kFairseq:
      return fairseq_compression(traits.padded);
    case Profile::kNone:
    case Profile::kLucidrains:
    case Profile::kTransmil:
    case Profile::kLinformer:
    case Profile::kLinformerPytorch:
      break;
  }
  return {};
}

Quirks quirks(const ModelConfig& config) {
  if (config.attention.empty()) return {};
  EncoderTraits traits{.conv = false,
                       .per_matrix_start = config.compat.per_matrix_start,
                       .padded = config.compat.padded};
  if (const auto* nystrom = std::get_if<NystromOptions>(&config.attention.front())) {
    traits.exact = nystrom->landmarks == config.compat.segment_length;
    traits.conv = nystrom->conv > 0;
  }
  return quirks(config.compat.profile, traits);
}

Quirks quirks(const ForeignOptions& options) {
  return std::visit([](const auto& of_package) { return quirks_of(of_package); }, options);
}

}  // namespace lowrank::models
