// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "lowrank/cli/console.h"
#include "lowrank/cli/embed_command.h"
#include "lowrank/cli/predict_command.h"

namespace lowrank::cli {

// `lowrank predict` and `lowrank embed` with a module of another package, which reads .npy files. `folder`
// is models::find_model()'s.
//
// predict   the probabilities of the classes, of each sequence: an array [n, c] is one, [b, n, c] are b,
//           named "bags.npy[0]" and so on
// embed     one array becomes one, written to --output: [n, c] to [n, outputs], [b, n, c] to
//           [b, n, outputs]
int predict_arrays(const PredictFlags& flags, const std::filesystem::path& folder,
                   const Console& console);
int embed_array(const EmbedFlags& flags, const std::filesystem::path& folder,
                const Console& console);

}  // namespace lowrank::cli
