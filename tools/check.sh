#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#   tools/check.sh         format, layers, release build, all tests
#   tools/check.sh --all   also the same tests under AddressSanitizer with UndefinedBehaviorSanitizer
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

check_format() {
  git ls-files -z '*.h' '*.cpp' | xargs -0 clang-format-14 --dry-run --Werror
}

tools/setup.sh
# shellcheck source=tools/environment.sh
source tools/environment.sh

step "format" check_format
step "build" build release
if "$all"; then
  step "build under sanitizers" build asan
  step "tests under sanitizers" ctest --preset asan -LE "python|install|examples"
fi
step "tests" ctest --preset release
