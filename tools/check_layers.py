#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the tree against the layer table in docs/architecture.md, and the rules that files keep.

    tools/check_layers.py [folder]      prints each breach as file:line: rule; status 1 if there is one
"""
import re
import sys
from pathlib import Path

SOURCES = {".h", ".cpp", ".cu", ".cuh"}
FOLDERS = ("lowrank", "tests", "bench", "examples")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TORCH = re.compile(r"(torch|ATen|c10|caffe2)/")
NEVER_INCLUDED = {"torch/torch.h", "torch/extension.h", "torch/all.h"}
PRINTS = re.compile(r"\b(std::(cout|cerr|clog)|(std::)?(printf|puts|putchar|abort|exit|_exit|quick_exit)\s*\("
                    r"|(std::)?fprintf\s*\(\s*std(out|err)\b|fmt::print(ln)?\s*\()")
VAGUE = {"util", "utils", "common", "misc", "helper", "helpers", "impl"}
LICENSE = "SPDX-License-Identifier: Apache-2.0"


def cells(line):
    return [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]


def read_layers(document):
    """{layer: its row} from the one table whose first column is "number"."""
    lines = document.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| number |"))
    names = cells(lines[start])
    layers = {}
    for line in lines[start + 2:]:
        if not line.startswith("|"):
            break
        row = dict(zip(names, cells(line)))
        row["may include"] = {name.strip() for name in row["may include"].split(",") if name.strip()}
        layers[row["layer"]] = row
    return layers


def table_breaches(layers):
    for name, row in layers.items():
        for other in row["may include"]:
            if other not in layers:
                yield f'layer "{name}" may include "{other}", which is no layer'
            elif int(layers[other]["number"]) >= int(row["number"]):
                yield f'layer "{name}" may include "{other}", which is not below it'


def without_comments_and_strings(text):
    """The same lines with comments and literals blanked, so that words in them are not taken for code."""
    pattern = re.compile(r'R"([^(\s]*)\(.*?\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)

    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def layer_of(path):
    """The layer of lowrank/<layer>/file, or None for what stands above all layers."""
    return path.parts[1] if path.parts[0] == "lowrank" and len(path.parts) > 2 else None


def public_headers(root):
    """The headers that are installed: those in the HEADERS of a layer's CMakeLists.txt."""
    headers = set()
    for script in root.glob("lowrank/*/CMakeLists.txt"):
        text = re.sub(r"#[^\n]*", "", script.read_text(encoding="utf-8"))
        for names in re.findall(r"\bHEADERS\s+([^)A-Z]*)", text):
            headers |= {script.parent.relative_to(root) / name for name in names.split()}
    return headers


def include_breach(path, public, bracket, target, layers):
    if target in NEVER_INCLUDED:
        return f"{target} takes 17 seconds to compile; include what is used"
    layer = layer_of(path)
    if layer is None:
        return None
    row = layers[layer]
    if TORCH.match(target):
        allowed = row["torch in public headers" if public else "torch elsewhere"]
        if allowed == "all" or (allowed == "core" and target.startswith("ATen/core/")):
            return None
        return f'layer "{layer}" may not include {target} here (LibTorch: {allowed})'
    parts = target.split("/")
    if parts[0] != "lowrank":
        if bracket == '"':
            return f'"{target}" must be named from the root: "lowrank/<layer>/<file>.h"'
        return None
    if bracket == "<" or len(parts) < 3:
        return f'{target} must be written "lowrank/<layer>/<file>.h"'
    if parts[1] != layer and parts[1] not in row["may include"]:
        return f'layer "{layer}" may not include layer "{parts[1]}"'
    return None


def source_breaches(path, public, text, layers):
    """(line, rule) for one source file; `path` is relative to the root."""
    lines = text.split("\n")
    if lines[0] != f"// {LICENSE}":
        yield 1, f'the first line must be "// {LICENSE}"'
    for number, line in enumerate(lines, 1):
        if not line.isascii():
            yield number, "sources are ASCII"
    layer = layer_of(path)
    if path.parts[0] == "lowrank" and layer not in layers:
        yield 1, f'"{layer}" is not in the layer table'
        return
    may_print = layer is None or layers[layer]["prints or exits"] == "yes"
    for number, line in enumerate(without_comments_and_strings(text).split("\n"), 1):
        include = INCLUDE.match(lines[number - 1]) if "#" in line else None
        if include:
            breach = include_breach(path, public, *include.groups(), layers)
            if breach:
                yield number, breach
        elif not may_print and PRINTS.search(line):
            yield number, "libraries neither print nor end the program; throw, or return it"


def registered_tests(folder):
    """The files that tests/<layer>/CMakeLists.txt builds."""
    layer, script = folder.name, folder / "CMakeLists.txt"
    if not script.exists():
        return set()
    text = re.sub(r"#[^\n]*", "", script.read_text(encoding="utf-8"))
    units = re.findall(r"lowrank_test\(\s*(\w+)\s+(\w+)", text)
    looped = [unit for names in re.findall(r"foreach\(\s*unit\s+([^)]*)\)", text) for unit in names.split()]
    return {f"{unit}_test.cpp" for test_layer, unit in units if test_layer == layer} | {
        f"{unit}_test.cpp" for unit in looped}


def tree_breaches(root, layers):
    public = public_headers(root)
    for name, row in layers.items():
        present = any((root / "lowrank" / name).rglob("*.cpp"))
        if present != (row["state"] == "present"):
            yield "docs/architecture.md", 1, f'layer "{name}" is marked {row["state"]}, but its folder says otherwise'
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            path = file.relative_to(root)
            if file.stem.removesuffix("_test").lower() in VAGUE:
                yield path, 1, "a file is named after what it does"
            if file.is_file() and file.suffix in SOURCES:
                text = file.read_text(encoding="utf-8", errors="replace")
                for line, rule in source_breaches(path, path in public, text, layers):
                    yield path, line, rule
    for file in sorted((root / "tests").rglob("*_test.cpp")):
        path = file.relative_to(root)
        if path.parts[1] in layers and file.name not in registered_tests(file.parent):
            yield path, 1, "no CMakeLists.txt builds this test"


def check(root):
    layers = read_layers(root / "docs" / "architecture.md")
    breaches = [f"docs/architecture.md:1: {rule}" for rule in table_breaches(layers)]
    breaches += [f"{path}:{line}: {rule}" for path, line, rule in tree_breaches(root, layers)]
    return breaches


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    breaches = check(root)
    print("\n".join(breaches) if breaches else "Every file keeps to its layer.")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
