// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <algorithm>

#include "lowrank/ops/cpu.h"
#include "lowrank/ops/head_tasks.h"
#include "lowrank/ops/nystrom_saved.h"
#include "lowrank/ops/tasks.h"

namespace lowrank::cpu {
namespace {

using kernels::Chunk;
using kernels::Compressed;
using kernels::Convolution;
using kernels::padded;

// What all heads of a call share.
struct Call {
  const kernels::Table& table;
  int64_t d, landmarks, exact_up_to, inverse_steps, taps;
  float scale;
};

Call call_of(const Tensor& q, const Tensor& filter, int64_t landmarks, int64_t exact_up_to,
             int64_t inverse_steps, double scale) {
  return {.table = table_for(q),
          .d = q.size(2),
          .landmarks = landmarks,
          .exact_up_to = exact_up_to,
          .inverse_steps = inverse_steps,
          .taps = filter.size(1),
          .scale = static_cast<float>(scale)};
}

// One head of one sequence.
struct Inputs {
  kernels::Rows q, k, v, gradient = {};
  int64_t n_q, n_k;
  const float* filter;
  const float* saved = nullptr;  // [m, d + 2], from the forward
};

struct Outputs {
  kernels::WritableRows out = {}, grad_q = {}, grad_k = {}, grad_v = {};
  float* grad_filter = nullptr;
  float* saved = nullptr;
};

bool is_exact(int64_t n_q, int64_t n_k, int64_t landmarks, int64_t exact_up_to) {
  return std::min(n_q, n_k) <= std::max(landmarks, exact_up_to);
}

class NystromHead : public Head {
 public:
  NystromHead(const Call& call, const Inputs& in, const Outputs& out)
      : call_(call), in_(in), out_(out), t_(call.table), dp_(padded(call.d)) {
    exact_ = is_exact(in.n_q, in.n_k, call.landmarks, call.exact_up_to);
    m_ = exact_ ? in.n_k : call.landmarks;
    mp_ = padded(m_);
  }

 protected:
  // The keys in chunks of whole segments, so that `compress` finds their landmarks on its way.
  int64_t key_chunks() const { return std::min(chunks_of(in_.n_k), m_); }
  Chunk key_chunk(int64_t i) const {
    const kernels::Segments segments{in_.n_k, m_};
    const int64_t count = key_chunks();
    return {segments.begin(i * m_ / count), segments.begin((i + 1) * m_ / count)};
  }

  // Their shares of B v, one behind the other.
  void reserve_compressed() {
    const int64_t chunks = key_chunks(), size = 2 * mp_ + m_ * dp_;
    compressed_buffer_ = buffer(chunks * padded(size));
    compressed_.clear();
    for (int64_t i = 0; i < chunks; ++i) {
      float* at = compressed_buffer_.mutable_data_ptr<float>() + i * padded(size);
      compressed_.push_back({at, at + mp_, at + 2 * mp_});
    }
  }

  void release_compressed() {
    compressed_.clear();
    compressed_buffer_.reset();
  }

  void compress(const float* packed_qm, int64_t task, float* key_means, float* scratch) {
    t_.compress(in_.k, in_.v, in_.n_k, key_chunk(task), {m_, call_.d, packed_qm},
                compressed_[static_cast<size_t>(task)], key_means, scratch);
  }

  void combine() {
    t_.combine(compressed_.data(), static_cast<int64_t>(compressed_.size()), m_, call_.d);
  }

  // The keys and values of a short sequence as they are, in place of landmarks and W.
  void pack_exact(bool backward, float* packed) {
    const Matrices wide({in_.n_k * dp_, in_.n_k * dp_});
    t_.widen(in_.k, in_.n_k, call_.d, wide[0]);
    t_.widen(in_.v, in_.n_k, call_.d, wide[1]);
    t_.pack(wide[0], wide[1], m_, call_.d, call_.scale, backward, packed);
  }

  int64_t scratch_floats(bool backward) const {
    const int64_t long_matrices = t_.scratch_floats(m_, call_.d, call_.taps, backward);
    if (exact_) return long_matrices;
    return std::max(long_matrices, t_.inverse_scratch_floats(m_, call_.d, backward));
  }

  Convolution convolution() const { return {in_.v, in_.n_k, in_.filter, call_.taps}; }

  const Call& call_;
  const Inputs in_;
  const Outputs out_;
  const kernels::Table& t_;
  bool exact_;
  int64_t m_, mp_, dp_;
  std::vector<Compressed> compressed_;

 private:
  at::Tensor compressed_buffer_;
};

class ForwardHead : public NystromHead {
 public:
  using NystromHead::NystromHead;

  int64_t scratch_floats() const override { return NystromHead::scratch_floats(false); }

  int64_t phases() const override { return 4; }

  int64_t tasks(int64_t phase) const override {
    if (phase == 0) return 1;
    if (phase == 3) return chunks_of(in_.n_q);
    if (exact_) return 0;
    return phase == 1 ? key_chunks() : 1;
  }

  void run(int64_t phase, int64_t task, float* scratch) override {
    if (phase == 0) return begin();
    if (phase == 1) return compress(small_[kPackedMeans], task, small_[kKeyMeans], scratch);
    if (phase == 2) return expand(scratch);
    t_.attend(in_.q, chunk(in_.n_q, task), {m_, call_.d, packed_[0]}, convolution(), out_.out,
              scratch);
  }

  void release() override { small_ = packed_ = Matrices(); }

 private:
  enum Small : size_t { kQueryMeans, kKeyMeans, kPackedMeans };

  void begin() {
    if (exact_) {
      packed_ = Matrices({t_.packed_floats(m_, call_.d, false)});
      return pack_exact(false, packed_[0]);
    }
    small_ = Matrices({m_ * dp_, m_ * dp_, t_.packed_floats(m_, call_.d, false) / 2});
    float* qm = small_[kQueryMeans];
    t_.means(in_.q, {in_.n_q, m_}, call_.d, qm);
    t_.pack(qm, nullptr, m_, call_.d, call_.scale, false, small_[kPackedMeans]);
    reserve_compressed();
  }

  // W = Z (B v), ready for F W.
  void expand(float* scratch) {
    combine();
    const Matrices square({m_ * mp_, m_ * mp_, m_ * dp_});
    float *a = square[0], *z = square[1], *w = square[2], *km = small_[kKeyMeans];
    t_.landmark_probabilities(small_[kQueryMeans], km, m_, call_.d, call_.scale, a, scratch);
    t_.inverse(a, m_, call_.inverse_steps, false, z, scratch);
    t_.multiply(m_, call_.d, m_, z, false, compressed_[0].bv, false, w);
    packed_ = Matrices({t_.packed_floats(m_, call_.d, false)});
    t_.pack(km, w, m_, call_.d, call_.scale, false, packed_[0]);
    if (out_.saved) save();
    small_ = Matrices();
    release_compressed();
  }

  // B v and, behind each row, its softmax's largest score and inverse sum: the backward has the same
  // bits with and without them.
  void save() const {
    const Compressed& all = compressed_[0];
    for (int64_t i = 0; i < m_; ++i) {
      float* row = out_.saved + i * (call_.d + 2);
      std::copy_n(all.bv + i * dp_, call_.d, row);
      row[call_.d] = all.largest[i];
      row[call_.d + 1] = all.sum[i];
    }
  }

  Matrices small_, packed_;
};

class BackwardHead : public NystromHead {
 public:
  using NystromHead::NystromHead;

  int64_t scratch_floats() const override { return NystromHead::scratch_floats(true); }

  int64_t phases() const override { return 7; }

  int64_t tasks(int64_t phase) const override {
    const int64_t query_chunks = chunks_of(in_.n_q);
    if (exact_) return phase == 0 || phase == 4 ? 1 : phase == 3 ? query_chunks : 0;
    const int64_t compressing = in_.saved ? 0 : key_chunks();
    const int64_t counts[] = {1, compressing, 1, query_chunks, 1, chunks_of(in_.n_k), query_chunks};
    return counts[phase];
  }

  void run(int64_t phase, int64_t task, float* scratch) override {
    switch (phase) {
      case 0:
        return begin(scratch);
      case 1:
        return compress(packed_[0], task, nullptr, scratch);
      case 2:
        return expand();
      case 3:
        return differentiate_queries(task, scratch);
      case 4:
        return exact_ ? finish_exact(scratch) : differentiate_small(scratch);
      case 5:
        return differentiate_keys(task, scratch);
      default:
        return add_query_means_gradient(task);
    }
  }

  void release() override {
    small_ = packed_ = query_shares_ = key_shares_ = Matrices();
    release_compressed();
  }

 private:
  enum Small : size_t {
    kQueryMeans,
    kKeyMeans,
    kA,
    kInverses,
    kW,
    kDelta,
    kGradBv,
    kGradKeyMeans,
    kGradQueryMeans
  };

  void begin(float* scratch) {
    packed_ = Matrices({t_.packed_floats(m_, call_.d, true)});
    if (exact_) {
      pack_exact(true, packed_[0]);
      return reserve_query_shares();
    }
    const int64_t wide = m_ * dp_, square = m_ * mp_;
    small_ = Matrices(
        {wide, wide, square, square * (call_.inverse_steps + 1), wide, mp_, wide, wide, wide});
    t_.means(in_.q, {in_.n_q, m_}, call_.d, small_[kQueryMeans]);
    t_.means(in_.k, {in_.n_k, m_}, call_.d, small_[kKeyMeans]);
    t_.pack(small_[kQueryMeans], nullptr, m_, call_.d, call_.scale, false, packed_[0]);
    t_.landmark_probabilities(small_[kQueryMeans], small_[kKeyMeans], m_, call_.d, call_.scale,
                              small_[kA], scratch);
    t_.inverse(small_[kA], m_, call_.inverse_steps, true, small_[kInverses], scratch);
    reserve_compressed();
  }

  const float* inverse() const { return small_[kInverses] + call_.inverse_steps * m_ * mp_; }

  // What the forward saved, as if all chunks were combined.
  void restore() {
    const Compressed& all = compressed_[0];
    std::fill_n(all.largest, 2 * mp_ + m_ * dp_, 0.0F);
    for (int64_t i = 0; i < m_; ++i) {
      const float* row = in_.saved + i * (call_.d + 2);
      std::copy_n(row, call_.d, all.bv + i * dp_);
      all.largest[i] = row[call_.d];
      all.sum[i] = row[call_.d + 1];
    }
  }

  void expand() {
    in_.saved ? restore() : combine();
    t_.multiply(m_, call_.d, m_, inverse(), false, compressed_[0].bv, false, small_[kW]);
    t_.pack(small_[kKeyMeans], small_[kW], m_, call_.d, call_.scale, true, packed_[0]);
    reserve_query_shares();
  }

  // A chunk of queries adds to the gradients of km, W and the filter.
  void reserve_query_shares() {
    const auto chunks = static_cast<size_t>(chunks_of(in_.n_q));
    std::vector<int64_t> sizes;
    for (size_t i = 0; i < chunks; ++i) {
      sizes.insert(sizes.end(), {m_ * dp_, m_ * dp_, call_.taps});
    }
    query_shares_ = Matrices(sizes);
  }

  void differentiate_queries(int64_t task, float* scratch) {
    const auto share = 3 * static_cast<size_t>(task);
    float *grad_km = query_shares_[share], *grad_w = query_shares_[share + 1];
    std::fill_n(grad_km, m_ * dp_, 0.0F);
    std::fill_n(grad_w, m_ * dp_, 0.0F);
    t_.attend_backward(in_.gradient, in_.q, chunk(in_.n_q, task), {m_, call_.d, packed_[0]},
                       out_.grad_q, grad_km, grad_w, scratch);
    if (call_.taps == 0) return;
    std::fill_n(query_shares_[share + 2], call_.taps, 0.0F);
    t_.filter_gradient(in_.gradient, convolution(), call_.d, chunk(in_.n_q, task),
                       query_shares_[share + 2], scratch);
  }

  // Adds the shares of all chunks of queries into the first's.
  void add_query_shares() {
    const auto chunks = static_cast<size_t>(chunks_of(in_.n_q));
    for (size_t i = 1; i < chunks; ++i) {
      for (size_t part = 0; part < 3; ++part) {
        add(part == 2 ? call_.taps : m_ * dp_, query_shares_[3 * i + part], query_shares_[part]);
      }
    }
    if (call_.taps > 0) std::copy_n(query_shares_[2], call_.taps, out_.grad_filter);
  }

  static void scale(int64_t count, float factor, float* x) {
    for (int64_t i = 0; i < count; ++i) x[i] *= factor;
  }

  // v's gradient through the convolution: that of the output, filtered the other way round.
  Convolution gradient_convolution(std::vector<float>* reversed) const {
    reversed->assign(in_.filter, in_.filter + call_.taps);
    std::reverse(reversed->begin(), reversed->end());
    return {in_.gradient, in_.n_q, reversed->data(), call_.taps};
  }

  void finish_exact(float* scratch) {
    add_query_shares();
    scale(m_ * dp_, call_.scale, query_shares_[0]);
    std::vector<float> reversed;
    t_.narrow(query_shares_[0], in_.n_k, call_.d, {}, out_.grad_k, scratch);
    t_.narrow(query_shares_[1], in_.n_k, call_.d, gradient_convolution(&reversed), out_.grad_v,
              scratch);
  }

  // Through W = Z (B v), the inverse and A.
  void differentiate_small(float* scratch) {
    add_query_shares();
    const int64_t d = call_.d, wide = m_ * dp_;
    const float* bv = compressed_[0].bv;
    float *grad_km = query_shares_[0], *grad_w = query_shares_[1];
    const Matrices temporary({m_ * mp_, m_ * mp_, mp_ * dp_});
    float *grad_z = temporary[0], *grad_a = temporary[1], *bv_transposed = temporary[2];
    transpose(bv, bv_transposed);
    t_.multiply(m_, m_, d, grad_w, false, bv_transposed, false, grad_z);
    t_.multiply(m_, d, m_, inverse(), true, grad_w, false, small_[kGradBv]);
    t_.inverse_backward(small_[kA], small_[kInverses], m_, call_.inverse_steps, grad_z, grad_a,
                        scratch);
    scale(wide, call_.scale, grad_km);
    std::fill_n(small_[kGradQueryMeans], wide, 0.0F);
    t_.landmark_probabilities_backward(small_[kA], grad_a, small_[kQueryMeans], small_[kKeyMeans],
                                       m_, d, call_.scale, small_[kGradQueryMeans], grad_km);
    std::copy_n(grad_km, wide, small_[kGradKeyMeans]);
    std::fill_n(small_[kDelta], mp_, 0.0F);
    for (int64_t i = 0; i < m_; ++i) {
      for (int64_t j = 0; j < d; ++j) {
        small_[kDelta][i] += small_[kGradBv][i * dp_ + j] * bv[i * dp_ + j];
      }
    }
    t_.pack(small_[kQueryMeans], small_[kGradBv], m_, d, call_.scale, true, packed_[0]);
    key_shares_ = Matrices(std::vector<int64_t>(static_cast<size_t>(chunks_of(in_.n_k)), wide));
  }

  // x [m, padded(d)] as [d, padded(m)]
  void transpose(const float* x, float* out) const {
    for (int64_t j = 0; j < call_.d; ++j) {
      for (int64_t i = 0; i < mp_; ++i) out[j * mp_ + i] = i < m_ ? x[i * dp_ + j] : 0;
    }
  }

  void differentiate_keys(int64_t task, float* scratch) {
    float* grad_qm = key_shares_[static_cast<size_t>(task)];
    std::fill_n(grad_qm, m_ * dp_, 0.0F);
    std::vector<float> reversed;
    t_.compress_backward(in_.k, in_.v, in_.n_k, chunk(in_.n_k, task), {m_, call_.d, packed_[0]},
                         compressed_[0], small_[kDelta], small_[kGradKeyMeans],
                         gradient_convolution(&reversed), out_.grad_k, out_.grad_v, grad_qm,
                         scratch);
  }

  // Each chunk of queries adds the keys' shares up for itself: they are few.
  void add_query_means_gradient(int64_t task) {
    const Matrices sum({m_ * dp_});
    std::fill_n(sum[0], m_ * dp_, 0.0F);
    for (int64_t i = 0; i < chunks_of(in_.n_k); ++i) {
      add(m_ * dp_, key_shares_[static_cast<size_t>(i)], sum[0]);
    }
    scale(m_ * dp_, call_.scale, sum[0]);
    add(m_ * dp_, small_[kGradQueryMeans], sum[0]);
    t_.add_means_gradient(sum[0], {in_.n_q, m_}, call_.d, chunk(in_.n_q, task), out_.grad_q);
  }

  Matrices small_, packed_, query_shares_, key_shares_;
};

// The place of each sequence in what the forward saves; -1 for those without landmarks.
std::vector<int64_t> slots_of(const std::vector<Rows>& queries, const std::vector<Rows>& keys,
                              int64_t landmarks, int64_t exact_up_to) {
  std::vector<int64_t> slots;
  int64_t next = 0;
  for (size_t i = 0; i < queries.size(); ++i) {
    const bool exact = is_exact(queries[i].count, keys[i].count, landmarks, exact_up_to);
    slots.push_back(exact ? -1 : next++);
  }
  return slots;
}

}  // namespace

std::tuple<Tensor, Tensor> nystrom_attention(const Tensor& q_any, const Tensor& k_any,
                                             const Tensor& v_any, const Tensor& filter,
                                             const Tensor& offsets, const Tensor& offsets_k,
                                             int64_t landmarks, int64_t exact_up_to,
                                             int64_t inverse_steps, double scale, bool save) {
  const Tensor q = readable(q_any), k = readable(k_any), v = readable(v_any);
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  const Tensor filter_ht = filter.to(at::kFloat).contiguous();
  const Call call = call_of(q, filter, landmarks, exact_up_to, inverse_steps, scale);
  const std::vector<Place> heads_in_order = places(queries, keys, q.size(1));
  Tensor out = output_like(q, covers(heads_in_order, queries, q));
  const Tensor saved = save ? nystrom_saved_like(q, k, offsets, landmarks).zero_() : Tensor();
  const std::vector<int64_t> slots = slots_of(queries, keys, landmarks, exact_up_to);
  std::vector<ForwardHead> heads;
  for (const auto& [i, h] : heads_in_order) {
    const Inputs in{.q = rows_of(q, queries[i].begin, h),
                    .k = rows_of(k, keys[i].begin, h),
                    .v = rows_of(v, keys[i].begin, h),
                    .n_q = queries[i].count,
                    .n_k = keys[i].count,
                    .filter = filter_ht.const_data_ptr<float>() + h * call.taps};
    heads.emplace_back(call, in,
                       Outputs{.out = writable_rows_of(out, queries[i].begin, h),
                               .saved = saved_of(saved, slots[i], h)});
  }
  run_heads(pointers_to(heads));
  return {out, saved};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> nystrom_attention_backward(
    const Tensor& gradient_any, const Tensor& q_any, const Tensor& k_any, const Tensor& v_any,
    const Tensor& filter, const Tensor& saved, const Tensor& offsets, const Tensor& offsets_k,
    int64_t landmarks, int64_t exact_up_to, int64_t inverse_steps, double scale) {
  const Tensor q = readable(q_any), k = readable(k_any), v = readable(v_any);
  const Tensor gradient = readable(gradient_any);
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  const Tensor filter_ht = filter.to(at::kFloat).contiguous();
  const Call call = call_of(q, filter, landmarks, exact_up_to, inverse_steps, scale);
  const std::vector<Place> heads_in_order = places(queries, keys, q.size(1));
  const bool all = covers(heads_in_order, queries, q);
  Tensor grad_q = output_like(q, all), grad_k = output_like(k, all), grad_v = output_like(v, all);
  // Each sequence's share, summed in the order of the batch at the end.
  const Tensor filter_shares =
      at::zeros({static_cast<int64_t>(queries.size()), q.size(1), call.taps}, filter_ht.options());
  const std::vector<int64_t> slots = slots_of(queries, keys, landmarks, exact_up_to);
  std::vector<BackwardHead> heads;
  for (const auto& [i, h] : heads_in_order) {
    const Inputs in{.q = rows_of(q, queries[i].begin, h),
                    .k = rows_of(k, keys[i].begin, h),
                    .v = rows_of(v, keys[i].begin, h),
                    .gradient = rows_of(gradient, queries[i].begin, h),
                    .n_q = queries[i].count,
                    .n_k = keys[i].count,
                    .filter = filter_ht.const_data_ptr<float>() + h * call.taps,
                    .saved = saved_of(saved, slots[i], h)};
    const auto share = static_cast<int64_t>(i) * q.size(1) + h;
    const Outputs out{.grad_q = writable_rows_of(grad_q, queries[i].begin, h),
                      .grad_k = writable_rows_of(grad_k, keys[i].begin, h),
                      .grad_v = writable_rows_of(grad_v, keys[i].begin, h),
                      .grad_filter = filter_shares.mutable_data_ptr<float>() + share * call.taps};
    heads.emplace_back(call, in, out);
  }
  run_heads(pointers_to(heads));
  return {grad_q, grad_k, grad_v, filter_shares.sum(0).to(filter.scalar_type())};
}

}  // namespace lowrank::cpu
