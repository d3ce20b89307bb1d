// SPDX-License-Identifier: Apache-2.0
// Linked into the tests under ThreadSanitizer alone. It cannot see into OpenMP's library, which is not
// compiled with it, and so takes all that a parallel region is handed for a race. This function
// stands in front of the library's own and says what a region promises: that its threads see what was
// written before it, and that what they wrote is seen after it.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

using Body = void (*)(void*);

struct Region {
  Body body;
  void* data;
  char end = 0;  // its address stands for the barrier at the region's end
};

void run(void* address) {
  __tsan_acquire(address);
  auto* region = static_cast<Region*>(address);
  region->body(region->data);
  __tsan_release(&region->end);
}

}  // namespace

// What `#pragma omp parallel` compiles to.
extern "C" void GOMP_parallel(Body body, void* data, unsigned threads, unsigned flags) {
  using Parallel = void (*)(Body, void*, unsigned, unsigned);
  static const auto parallel = reinterpret_cast<Parallel>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  Region region{body, data};
  __tsan_release(&region);
  parallel(run, &region, threads, flags);
  __tsan_acquire(&region.end);
}
