#!/usr/bin/env bash
# Installs everything that building, testing and running lowrank needs on Debian 12 or Ubuntu 24.04,
# and returns at once when nothing is missing. Uses sudo where it is not run as root.
#
# LibTorch comes from $LOWRANK_PYTHON or python3 if one of them has torch 2.9 or newer, else from
# `pip install torch==2.13.0` in build/venv.
#
#   tools/setup.sh           what the project needs
#   tools/setup.sh --fuzz    also clang with libFuzzer, for the preset fuzz
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  git ca-certificates cmake ninja-build g++ pkg-config ccache clang-format-14
  python3 python3-venv python3-dev perl
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libfmt-dev libicu-dev libxxhash-dev
  libprotozero-dev liblinear-dev libsentencepiece-dev liblzma-dev zlib1g-dev
  libgtest-dev libgmock-dev libbenchmark-dev gnuplot-nox
)

fail() {
  echo "tools/setup.sh: $*" >&2
  exit 1
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
  done
}

install_packages() {
  command -v apt-get >/dev/null || fail "apt-get is not here; install by hand: $*."
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo; as root run: apt-get install $*."
    sudo=(sudo)
  fi
  echo "tools/setup.sh: installing $*"
  "${sudo[@]}" apt-get update -q
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

has_torch() {
  [ -n "$1" ] && "$1" - 2>/dev/null <<'PYTHON'
import importlib.metadata, sys
version = importlib.metadata.version("torch").split("+")[0].split(".")
sys.exit(0 if (int(version[0]), int(version[1])) >= (2, 9) else 1)
PYTHON
}

# The package of clang's runtime libraries has clang's version in its name.
add_clang() {
  local version=14 # of Debian 12
  if grep -q '^VERSION_ID="24.04"' /etc/os-release; then
    version=18
  fi
  packages+=(clang "libclang-rt-$version-dev" libomp-dev)
}

case "${1:-}" in
  "") ;;
  --fuzz) add_clang ;;
  *) fail "\"$1\" is not known; the one option is --fuzz." ;;
esac

mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -gt 0 ]; then
  install_packages "${missing[@]}"
fi

for python in "${LOWRANK_PYTHON:-}" build/venv/bin/python python3; do
  if has_torch "$python"; then
    exit 0
  fi
done
echo "tools/setup.sh: installing LibTorch (the torch wheel) into build/venv"
mkdir -p build
python3 -m venv build/venv
build/venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy
