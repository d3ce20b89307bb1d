// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/stop_signal.h"

namespace lowrank::cli {
namespace {

// Signals belong to the process, and so does this flag.
std::atomic<bool> stop_raised = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

void raise_stop(int) {
  stop_raised = true;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

StopSignal::StopSignal() {
  stop_raised = false;
  struct sigaction action {};
  action.sa_handler = raise_stop;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_interrupt_);
  sigaction(SIGTERM, &action, &old_terminate_);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

const std::atomic<bool>& StopSignal::raised() const { return stop_raised; }

}  // namespace lowrank::cli
