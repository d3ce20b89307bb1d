#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers against Hugging Face's `tokenizers` (Rust), on one core.

Both read the same tokenizer.json and encode the lines of $LOWRANK_SHARED/data/wikitext, without special tokens, after one
round that nobody times. Rounds are interleaved: lowrank to ids alone, lowrank with spans, tokenizers with
encode_batch_fast (no offsets) and with encode_batch (offsets). Encoding alone is timed; to read the ids out of a Rust
Encoding comes on top. Before that, all ids are compared.

    pip install tokenizers
    bench/tokenizer_peers.py [--rounds 9] [--build build/release]
"""
import argparse
import array
import lzma
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def shared():
    folder = os.environ.get("LOWRANK_SHARED")
    if not folder:
        sys.exit("tokenizer_peers.py: LOWRANK_SHARED is not set; the texts and vocabularies are in its data folder.")
    return Path(folder) / "data"


def word_piece(data):
    vocabulary = {line.rstrip("\n"): i for i, line in enumerate(open(data / "tokenizers/bert-base-uncased/vocab.txt", encoding="utf-8"))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.add_special_tokens(["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"])
    return tokenizer.to_str()


def packed(name):
    return lambda data: lzma.open(data / f"tokenizers/{name}/tokenizer.json.xz", "rt", encoding="utf-8").read()


VOCABULARIES = {
    "WordPiece (bert-base-uncased)": word_piece,
    "byte-level BPE (roberta-base)": packed("roberta-base"),
    "Unigram (t5-small)": packed("t5-small"),
}


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(name, description, text, arguments):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tokenizer.json").write_text(description, encoding="utf-8")
        Path(folder, "text").write_bytes(text)
        program = ROOT / arguments.build / "bin/tokenizer_bench"
        ours = subprocess.Popen([program, folder, f"{folder}/text", f"{folder}/ids"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)

        def our_round(kind):
            ours.stdin.write(kind + "\n")
            ours.stdin.flush()
            return float(ours.stdout.readline())

        lines = text.decode("utf-8").removesuffix("\n").split("\n")
        theirs = Tokenizer.from_str(description)
        theirs.no_truncation()
        theirs.no_padding()
        our_round("ids")
        ids = array.array("q", Path(folder, "ids").read_bytes())
        expected = array.array("q")
        for line in lines:
            expected.extend(theirs.encode(line, add_special_tokens=False).ids)
        if ids != expected:
            sys.exit(f"tokenizer_peers.py: {name}: the ids differ.")
        contestants = {
            "lowrank": lambda: our_round("ids"),
            "lowrank, spans": lambda: our_round("spans"),
            "tokenizers, fast": lambda: timed(lambda: theirs.encode_batch_fast(lines, add_special_tokens=False)),
            "tokenizers, offsets": lambda: timed(lambda: theirs.encode_batch(lines, add_special_tokens=False)),
        }
        seconds = {contestant: [] for contestant in contestants}
        for _ in range(arguments.rounds):
            for contestant, run in contestants.items():
                seconds[contestant].append(run())
        ours.stdin.close()
        ours.wait()
    speed = {c: [len(text) / 1e6 / s for s in all_seconds] for c, all_seconds in seconds.items()}
    ratios = [a / b for a, b in zip(speed["lowrank"], speed["tokenizers, fast"])]
    cells = [f"{statistics.median(speed[c]):.1f} ({min(speed[c]):.1f} to {max(speed[c]):.1f})" for c in contestants]
    print(f"| {name} | {len(ids):,} | " + " | ".join(cells) + f" | {statistics.median(ratios):.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--build", default="build/release")
    arguments = parser.parse_args()
    data = shared()
    text = b"".join(lzma.open(path).read() for path in sorted((data / "wikitext").glob("*.txt.xz")))
    print(f"tokenizers {tokenizers.__version__}, {len(text):,} bytes; MB/s: median (lowest to highest) of {arguments.rounds}\n")
    print("| tokenizer | tokens | lowrank | lowrank, spans | tokenizers, fast | tokenizers, offsets | lowrank / fast |")
    print("|---|---|---|---|---|---|---|")
    for name, description in VOCABULARIES.items():
        compare(name, description(data), text, arguments)


if __name__ == "__main__":
    main()
