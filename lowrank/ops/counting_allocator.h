// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <malloc.h>

#include <atomic>
#include <cstdint>

namespace lowrank {

// LibTorch's allocator of CPU tensors, with a count of the bytes that they hold. What a library takes
// for itself, as a BLAS does to pack its operands, is not seen.
class CountingAllocator final : public c10::Allocator {
 public:
  // Tensors made from here on are counted.
  static void install() {
    static CountingAllocator allocator;
    c10::SetCPUAllocator(&allocator);
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* data = c10::alloc_cpu(bytes);
    add(size_of(data));
    return {data, data, free_counted, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return free_counted; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  friend class PeakBytes;

  // The deleter gets nothing but the address, so that the C library is asked for the size.
  static int64_t size_of(void* data) { return static_cast<int64_t>(malloc_usable_size(data)); }

  static void free_counted(void* data) {
    held_ -= size_of(data);
    c10::free_cpu(data);
  }

  static void add(int64_t bytes) {
    const int64_t held = held_ += bytes;
    int64_t peak = peak_;
    while (peak < held && !peak_.compare_exchange_weak(peak, held)) {
    }
  }

  static inline std::atomic<int64_t> held_ = 0, peak_ = 0;
};

// The most bytes that tensors took at one time since this was made, beyond those that they took then.
// One at a time.
class PeakBytes {
 public:
  PeakBytes() { CountingAllocator::peak_ = before_; }
  int64_t value() const { return CountingAllocator::peak_ - before_; }

 private:
  const int64_t before_ = CountingAllocator::held_;
};

}  // namespace lowrank
