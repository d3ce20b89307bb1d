#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that a file compiled for a CPU level defines its table's function and nothing else that is visible.

    symbols_test.py NM OBJECT;OBJECT...

A weak symbol in such a file, a copy of an inline function, could be the one that the linker keeps for the whole
program, which then stops on an older processor.
"""
import subprocess
import sys
from pathlib import Path

LEVELS = {"scalar.cpp.o", "avx2.cpp.o", "avx512.cpp.o", "avx512_bf16.cpp.o", "amx.cpp.o"}


def visible(nm, path):
    lines = subprocess.run([nm, "--demangle", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        kind, name = line.split(maxsplit=2)[-2:]
        if kind in "TWVuDBR":
            yield kind, name


def main():
    nm, objects = sys.argv[1], sys.argv[2].split(";")
    levels = [path for path in objects if Path(path).name in LEVELS]
    if {Path(path).name for path in levels} != LEVELS:
        sys.exit(f"expected {sorted(LEVELS)} among {objects}")
    bad = [f"{path}: {kind} {name}" for path in levels for kind, name in visible(nm, path)
           if kind != "T" or not name.endswith("_table(lowrank::kernels::Element)")]
    if bad:
        sys.exit("\n".join(["visible symbols in files of one CPU level:", *bad]))


if __name__ == "__main__":
    main()
