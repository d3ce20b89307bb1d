#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#   tools/check.sh         format, layers, release build, all tests
#   tools/check.sh --all   also the tests under AddressSanitizer with UndefinedBehaviorSanitizer, and
#                          those that use threads under ThreadSanitizer, and a minute of libFuzzer for
#                          each reader of files
set -euo pipefail
cd "$(dirname "$0")/.."

all=false
case "${1:-}" in
  "") ;;
  --all) all=true ;;
  *)
    echo "tools/check.sh: \"$1\" is not known; the one option is --all." >&2
    exit 2
    ;;
esac

# The tests in which threads meet, as ctest names them.
threaded=(data.batch data.dataset data.near_duplicates data.prefetch nn.packed_linear
  ops.attention ops.checks ops.cpu ops.golden ops.pieces text.tokenizer_files train.trainer)

check_format() {
  git ls-files -z '*.h' '*.cpp' | xargs -0 clang-format-14 --dry-run --Werror
}

# Begins with the valid inputs that each reader's replay knows. What is found stays in build/fuzz.
fuzz() {
  local program name
  for program in build/fuzz/tests/fuzz/*_fuzz; do
    name=$(basename "$program" _fuzz)
    "${program%_fuzz}_replay" "build/fuzz/corpus/$name"
    quietly "$program" -max_total_time=60 -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus/$name" ||
      { echo "tools/check.sh: $name failed; the input is build/fuzz/$name-*" >&2; return 1; }
  done
}

if "$all"; then
  tools/setup.sh --fuzz
else
  tools/setup.sh
fi
# shellcheck source=tools/environment.sh
source tools/environment.sh

step "format" check_format
step "build" build release
step "tests" ctest --preset release
if "$all"; then
  step "build under AddressSanitizer" build asan
  step "tests under AddressSanitizer" ctest --preset asan -LE "python|install"
  targets=("${threaded[@]/./_}")
  step "build under ThreadSanitizer" build tsan "${targets[@]/%/_test}"
  step "tests under ThreadSanitizer" ctest --preset tsan -R "^($(IFS="|"; echo "${threaded[*]}"))\$"
  step "build for libFuzzer" build fuzz
  step "libFuzzer" fuzz
fi
