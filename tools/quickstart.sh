#!/usr/bin/env bash
# From a bare Debian 12 or Ubuntu 24.04 to a trained long-sequence model: installs, builds, then learns
# to tell which code base a source file comes from, by its first 16,384 bytes.
#
#   tools/quickstart.sh [MINUTES]    training time of each model; default 2
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-2}
if ! [[ "$minutes" =~ ^[0-9]+([.][0-9]+)?$ ]]; then
  echo "tools/quickstart.sh: MINUTES = $minutes; it must be a number, as in: tools/quickstart.sh 2" >&2
  exit 2
fi

build() {
  configure release
  cmake --build --preset release -j "$jobs" --target lowrank | tail -n 1
}

# The result line of a model folder, for the closing table.
result() {
  "$lowrank" eval "$1" "$recipe" --json | "$LOWRANK_PYTHON" -c '
import json, sys
result = json.load(sys.stdin)
print("%-34s %6.2f %%   macro F1 %.3f" % (sys.argv[1], 100 * result["accuracy"], result["macro_f1"]))' "$2"
}

tools/setup.sh
# shellcheck source=tools/environment.sh
source tools/environment.sh
LOWRANK_SITE_PACKAGES=$("$LOWRANK_PYTHON" -c 'import importlib.util as u, os; print(os.path.dirname(u.find_spec("torch").submodule_search_locations[0]))')
LOWRANK_PYTHON_STDLIB=$("$LOWRANK_PYTHON" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
export LOWRANK_SITE_PACKAGES LOWRANK_PYTHON_STDLIB

lowrank=build/release/bin/lowrank
recipe=recipes/source_files.toml
run=runs/source_files

step "build" build
step "the data" "$lowrank" data "$recipe"

rm -rf "$run" "$run-no-attention" "$run-exact"
step "train: Nystrom attention" "$lowrank" train "$recipe" --set train.minutes="$minutes"
step "evaluate" "$lowrank" eval "$run" "$recipe" --picture "$run/confusion.png"
step "predict: two files of this machine" "$lowrank" predict "$run" /usr/include/stdio.h tools/check_layers.py

step "the honest lines: a linear model" "$lowrank" baseline "$recipe" --json >"$run/baseline.json"
step "the honest lines: exact attention" "$lowrank" train "$recipe" --set train.minutes="$minutes" \
  --set train.output="$run-exact" --set 'model.attention={kind = "exact"}'
step "the honest lines: no attention" "$lowrank" train "$recipe" --set train.minutes="$minutes" \
  --set train.output="$run-no-attention" --set model.layers=0
