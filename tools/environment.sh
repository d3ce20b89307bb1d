# Sourced by the other scripts: which Python has torch, how many jobs to build with.
# shellcheck shell=bash

for python in "${LOWRANK_PYTHON:-}" "$PWD/build/venv/bin/python" python3; do
  if [ -n "$python" ] && "$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' 2>/dev/null; then
    LOWRANK_PYTHON=$(command -v "$python")
    export LOWRANK_PYTHON
    break
  fi
done

# A compiler with LibTorch's headers takes up to 1.5 GB.
memory_jobs=$(awk '/MemAvailable/ {print int($2 / 1500000)}' /proc/meminfo)
jobs=$(nproc)
if [ "$memory_jobs" -lt "$jobs" ]; then
  jobs=$((memory_jobs > 0 ? memory_jobs : 1))
fi

# Prints what it runs and how long it took.
step() {
  local name=$1 started=$SECONDS
  shift
  echo "== $name"
  "$@"
  echo "== $name: $((SECONDS - started)) s"
}

# Runs a command quietly; what it printed is shown when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    grep -E -A 20 "FAILED|ERROR|[Ee]rror" "$log" >&2 || tail -n 40 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  quietly cmake --preset "$preset" || return 1
  quietly cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"}
}
