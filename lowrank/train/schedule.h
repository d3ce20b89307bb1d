// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/train/recipe.h"

namespace lowrank::train {

// The learning rate after a share `done` (0 to 1) of the run, as a share of options.learning_rate.
//
//   constant, linear, cosine   rise from 0 to 1 over the first `warmup` of the run, then stay,
//                              fall in a line, or fall along half a cosine, to `final_rate`
//   one_cycle                  a line from 1/25 to 1 over `warmup`, a line down to 1/250000 or
//                              `final_rate`, whichever is larger (Smith 2018, arXiv:1803.09820)
double rate_share(const TrainOptions& options, double done);

}  // namespace lowrank::train
