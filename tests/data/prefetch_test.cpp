// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/prefetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>

namespace lowrank::data {
namespace {

TEST(Prefetch, ReturnsResultsInTheirOrder) {
  int made = 0;
  Prefetch<int> prefetch([&] { return made++; }, 3);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(prefetch.next(), i);
}

TEST(Prefetch, NeverRunsFurtherAheadThanAllowed) {
  std::atomic<int> made = 0;
  Prefetch<int> prefetch([&] { return made++; }, 2);
  for (int taken = 1; taken <= 200; ++taken) {
    prefetch.next();
    EXPECT_LE(made, taken + 3);  // two wait, and one is being made
  }
}

TEST(Prefetch, ThrowsWhatTheProducerThrewAfterWhatCameBefore) {
  int made = 0;
  Prefetch<int> prefetch(
      [&]() -> int {
        if (made == 3) throw std::runtime_error("the fourth");
        return made++;
      },
      2);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(prefetch.next(), i);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT([&] { prefetch.next(); },
                ::testing::ThrowsMessage<std::runtime_error>("the fourth"));
  }
}

TEST(Prefetch, StopsWhileResultsWait) {
  auto alive = std::make_shared<int>(0);
  {
    Prefetch<std::shared_ptr<int>> prefetch([alive] { return alive; }, 2);
  }
  EXPECT_EQ(alive.use_count(), 1);
}

}  // namespace
}  // namespace lowrank::data
