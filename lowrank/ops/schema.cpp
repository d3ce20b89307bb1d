// SPDX-License-Identifier: Apache-2.0
#include <torch/library.h>

// Every op of torch.ops.lowrank. Contracts are in the header of the same name; an op that begins
// with _ is the gradient or the part of another and promises nothing.
//
// `causal` exists to be refused: none of these approximations has a causal form.
TORCH_LIBRARY(lowrank, m) {
  const std::vector<at::Tag> traceable = {at::Tag::pt2_compliant_tag};

  // exact.h
  m.def(
      "exact_attention(Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor? offsets_k=None, *, "
      "float? scale=None, bool causal=False) -> Tensor",
      traceable);
  m.def(
      "padded_exact_attention(Tensor q, Tensor k, Tensor v, Tensor? mask=None, *, "
      "float? scale=None, bool causal=False) -> Tensor",
      traceable);
  m.def(
      "_exact_attention(Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor? offsets_k, "
      "float? scale) -> (Tensor, Tensor)",
      traceable);
  m.def(
      "_exact_attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor out, "
      "Tensor logsumexp, Tensor offsets, Tensor? offsets_k, float? scale) "
      "-> (Tensor, Tensor, Tensor)",
      traceable);
  m.def(
      "_padded_exact_attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, "
      "Tensor? mask, float? scale) -> (Tensor, Tensor, Tensor)",
      traceable);

  // nystrom.h
  m.def(
      "nystrom_attention(Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor? filter=None, "
      "Tensor? offsets_k=None, *, int landmarks=64, int exact_up_to=0, int inverse_steps=6, "
      "float? scale=None, bool causal=False) -> Tensor",
      traceable);
  m.def(
      "padded_nystrom_attention(Tensor q, Tensor k, Tensor v, Tensor? mask=None, "
      "Tensor? filter=None, *, int landmarks=64, int exact_up_to=0, int inverse_steps=6, "
      "float? scale=None, bool causal=False) -> Tensor",
      traceable);
  m.def(
      "_nystrom_attention(Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor? filter, "
      "Tensor? offsets_k, int landmarks, int exact_up_to, int inverse_steps, float? scale) "
      "-> (Tensor, Tensor)",
      traceable);
  m.def(
      "_nystrom_attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, "
      "Tensor filter, Tensor? saved, Tensor offsets, Tensor? offsets_k, int landmarks, "
      "int exact_up_to, int inverse_steps, float? scale) -> (Tensor, Tensor, Tensor, Tensor)",
      traceable);
  m.def(
      "_padded_nystrom_attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, "
      "Tensor filter, Tensor? mask, int landmarks, int exact_up_to, int inverse_steps, "
      "float? scale) -> (Tensor, Tensor, Tensor, Tensor)",
      traceable);

  // linformer.h
  m.def(
      "linformer_attention(Tensor q, Tensor k, Tensor v, Tensor e, Tensor? f, Tensor offsets, "
      "Tensor? offsets_k=None, *, float? scale=None, bool causal=False) -> Tensor",
      traceable);
  m.def(
      "padded_linformer_attention(Tensor q, Tensor k, Tensor v, Tensor e, Tensor? f=None, "
      "Tensor? mask=None, *, float? scale=None, bool causal=False) -> Tensor",
      traceable);
  m.def(
      "_linformer_attention(Tensor q, Tensor k, Tensor v, Tensor e, Tensor f, Tensor offsets, "
      "Tensor? offsets_k, float? scale) -> (Tensor, Tensor)",
      traceable);
  m.def(
      "_linformer_attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor e, "
      "Tensor f, Tensor? saved, Tensor offsets, Tensor? offsets_k, float? scale) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
      traceable);
  m.def(
      "_padded_linformer_attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, "
      "Tensor e, Tensor f, Tensor? mask, float? scale) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
      traceable);
  m.def("project_sequences(Tensor x, Tensor e, Tensor offsets) -> Tensor", traceable);
  m.def(
      "_project_sequences_backward(Tensor gradient, Tensor x, Tensor e, Tensor offsets) "
      "-> (Tensor, Tensor)",
      traceable);
  m.def("resize_projection(Tensor e, int max_length) -> Tensor", traceable);

  // segment_means.h
  m.def("segment_means(Tensor x, Tensor offsets, int landmarks) -> Tensor", traceable);
  m.def("_segment_means_backward(Tensor gradient, Tensor offsets, SymInt total) -> Tensor",
        traceable);

  // pseudo_inverse.h
  m.def("pseudo_inverse(Tensor a, int steps=6) -> Tensor", traceable);
  m.def("_pseudo_inverse_backward(Tensor gradient, Tensor a, int steps) -> Tensor", traceable);
  m.def("pseudo_inverse_residual(Tensor a, Tensor z) -> Tensor", traceable);
}
