// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <sstream>
#include <string>

namespace lowrank::testing {

// Sends this process a signal as soon as `text` has been written to it.
class SignalOn final : public std::stringbuf {
 public:
  SignalOn(std::string text, int number) : text_(std::move(text)), number_(number) {}

 private:
  int sync() override {
    if (!sent_ && str().find(text_) != std::string::npos) {
      sent_ = true;
      raise(number_);
    }
    return 0;
  }
  const std::string text_;
  const int number_;
  bool sent_ = false;
};

}  // namespace lowrank::testing
