// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace lowrank::data {

// Calls `produce` in a thread of its own, at most `ahead` results in front of next(), which returns
// them in their order. What `produce` throws is thrown by the next() whose turn it is, and by all
// after that.
template <class T>
class Prefetch {
 public:
  Prefetch(std::function<T()> produce, size_t ahead)
      : produce_(std::move(produce)),
        ahead_(ahead),
        thread_([this](std::stop_token stop) { run(stop); }) {}

  T next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !ready_.empty() || error_; });
    if (ready_.empty()) std::rethrow_exception(error_);
    T result = std::move(ready_.front());
    ready_.pop_front();
    changed_.notify_all();
    return result;
  }

 private:
  void run(const std::stop_token& stop) {
    while (true) {
      {
        std::unique_lock lock(mutex_);
        if (!changed_.wait(lock, stop, [&] { return ready_.size() < ahead_; })) return;
      }
      try {
        T result = produce_();
        const std::scoped_lock lock(mutex_);
        ready_.push_back(std::move(result));
      } catch (...) {
        const std::scoped_lock lock(mutex_);
        error_ = std::current_exception();
      }
      changed_.notify_all();
      if (error_) return;  // only this thread sets it
    }
  }

  std::function<T()> produce_;
  const size_t ahead_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<T> ready_;
  std::exception_ptr error_;
  std::jthread thread_;  // last: it uses all of the above, and joins first
};

}  // namespace lowrank::data
