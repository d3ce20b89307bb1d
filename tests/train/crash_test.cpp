// SPDX-License-Identifier: Apache-2.0
// Runs that end badly. Every run here is a child process, forked before this one has used LibTorch:
// its thread pools do not survive a fork.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "lowrank/train/trainer.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/synthetic.h"

namespace lowrank::train {
namespace {

using lowrank::testing::expect_same_run;
using lowrank::testing::make_splits;
using lowrank::testing::Recorder;
using lowrank::testing::TemporaryFolder;
using lowrank::testing::tiny_recipe;

constexpr int kThrew = 100;

// Starts a process that exits with what `action` returns, or kThrew.
template <class Action>
pid_t start(const Action& action) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  int status = kThrew;
  try {
    status = action();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  ::_exit(status);
}

// The exit status; minus the signal for a process that one ended.
int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// Whether a process has ended; wait_for() still gives its status.
bool has_ended(pid_t child) {
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
  return info.si_pid == child;
}

int train_once(const Recipe& recipe, bool resume) {
  return static_cast<int>(lowrank::testing::run(recipe, resume).ended);
}

// A save every step, so that most of a run's time is saving.
Recipe saving_recipe(const std::filesystem::path& output) {
  Recipe recipe = tiny_recipe(output);
  recipe.train.steps = 60;
  recipe.train.save_every = 1;
  return recipe;
}

TEST(KilledRun, ResumesToTheSameBitsWhereverItWasKilled) {
  const TemporaryFolder folder;
  const Recipe whole = saving_recipe(folder.path() / "whole");
  const Recipe parts = saving_recipe(folder.path() / "parts");
  const std::filesystem::path last = folder.path() / "parts" / "last";
  ASSERT_EQ(wait_for(start([&] { return train_once(whole, false); })), 0);

  std::mt19937 random(1);
  int kills = 0;
  for (int sitting = 0; sitting < 12; ++sitting) {
    const bool resume = std::filesystem::exists(last);
    const std::string before = resume ? read_file(last / "state.json") : "";
    const pid_t child = start([&] { return train_once(parts, resume); });
    // Waits for its first save, so that each sitting gets somewhere, then kills within a few steps.
    const auto moved = [&] {
      return std::filesystem::exists(last) && read_file(last / "state.json") != before;
    };
    while (!has_ended(child) && !moved()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
    ::kill(child, SIGKILL);
    kills += wait_for(child) == -SIGKILL ? 1 : 0;
  }
  EXPECT_GT(kills, 0);
  ASSERT_EQ(wait_for(start([&] { return train_once(parts, true); })), 0);
  expect_same_run(folder.path() / "whole", folder.path() / "parts");
}

// A limit on the size of a file stands in for a full disk: writing past it fails in the same way.
int train_with_little_space(const Recipe& recipe, rlim_t bytes) {
  struct Limiting : Recorder {
    explicit Limiting(rlim_t most) : bytes(most) {}
    void on_save(int64_t step, const std::filesystem::path&) override {
      if (step != 3) return;
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{bytes, bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    rlim_t bytes;
  } watcher(bytes);
  const data::Splits splits = make_splits();
  const TrainResult result = train(recipe, splits, watcher, false, watcher.stop);
  const bool noted = !watcher.notes.empty();
  return noted ? static_cast<int>(result.ended) : kThrew;
}

TEST(RunOnAFullDisk, StopsCleanlyAndGoesOnWhenThereIsSpace) {
  for (const rlim_t bytes : {rlim_t{0}, rlim_t{2000}, rlim_t{20'000}}) {
    const TemporaryFolder folder;
    Recipe whole = saving_recipe(folder.path() / "whole");
    Recipe parts = saving_recipe(folder.path() / "parts");
    whole.train.steps = parts.train.steps = 6;
    ASSERT_EQ(wait_for(start([&] { return train_once(whole, false); })), 0);
    ASSERT_EQ(wait_for(start([&] { return train_with_little_space(parts, bytes); })),
              static_cast<int>(Ended::kDiskFull));
    ASSERT_EQ(wait_for(start([&] { return train_once(parts, true); })), 0);
    expect_same_run(folder.path() / "whole", folder.path() / "parts");
  }
}

}  // namespace
}  // namespace lowrank::train
