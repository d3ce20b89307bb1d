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

# One line of the closing table from the JSON that eval and baseline print.
result() {
  "$LOWRANK_PYTHON" -c '
import json, sys
result = json.load(open(sys.argv[2]))
print("%-42s %7.2f %% %10.3f" % (sys.argv[1], 100 * result["accuracy"], result["macro_f1"]))' "$1" "$2"
}

train_and_evaluate() {
  local folder=$1
  shift
  "$lowrank" train "$recipe" --set train.minutes="$minutes" --set train.output="$folder" "$@"
  "$lowrank" eval "$folder" --json >"$folder/test.json"
}

linear_model() {
  "$lowrank" baseline "$recipe" --json >"$run/baseline.json"
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

step "build" build release lowrank
step "the data" "$lowrank" data "$recipe"

rm -rf "$run" "$run-no-attention" "$run-exact"
step "train with Nystrom attention" train_and_evaluate "$run"
step "evaluate on held-out files" "$lowrank" eval "$run" --picture "$run/confusion.png"
step "predict: two files of this machine" "$lowrank" predict "$run" /usr/include/stdio.h tools/check_layers.py

step "beside it: a linear model on byte trigrams" linear_model
step "beside it: no attention, the same time" train_and_evaluate "$run-no-attention" --set model.layers=0
step "beside it: exact attention, the same time" train_and_evaluate "$run-exact" \
  --set 'model.attention={kind = "exact"}'

printf '\n%-42s %9s %10s\n' "held-out files" accuracy "macro F1"
result "Nystrom, $minutes min" "$run/test.json"
result "exact attention, $minutes min" "$run-exact/test.json"
result "no attention, $minutes min" "$run-no-attention/test.json"
result "linear model on byte trigrams" "$run/baseline.json"

cat <<EOF

Pictures: $run/loss.png and $run/confusion.png. TensorBoard reads $run too.

Next, your own folders, each a class:
  $lowrank train recipes/your_folders.toml --set 'data.classes={letters = ["~/letters"], reports = ["~/reports"]}'
  $lowrank eval runs/your_folders
  $lowrank predict runs/your_folders some_file.txt
EOF
