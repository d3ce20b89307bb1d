#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Joins pairs of names with the texts of these names, into the table that recipes/lra/retrieval.toml reads.

    tools/join_pairs.py papers.jsonl pairs.train.tsv > data/lra/retrieval/new_aan_pairs.train.tsv

papers.jsonl has an object a line with "id" and "text", pairs.tsv a label and two ids a line; either may be packed (.xz).
A line of the result is label, id, id, text, text; white space within a text becomes single spaces.
"""
import json
import lzma
import sys


def lines(path):
    with (lzma.open if path.endswith(".xz") else open)(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    papers = (json.loads(line) for line in lines(sys.argv[1]))
    texts = {paper["id"]: " ".join(paper["text"].split()) for paper in papers}
    for number, line in enumerate(lines(sys.argv[2]), 1):
        label, first, second = line.split("\t")
        for name in (first, second):
            if name not in texts:
                sys.exit(f"{sys.argv[2]}:{number}: there is no text of \"{name}\". Name papers of {sys.argv[1]}.")
        print(label, first, second, texts[first], texts[second], sep="\t")


if __name__ == "__main__":
    main()
