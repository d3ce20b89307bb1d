#!/usr/bin/env python3
"""How good the vectors of `lowrank embed` are, on real text.

    bench/embedding_quality.py MODEL [-- FLAGS OF lowrank embed]

  STS-B dev     Spearman's correlation of cosines with people's scores, 1,500 pairs of sentences
  halves        64 texts of about 1,000 tokens: share whose second half is the nearest to the first
  passages      20 documents of about 4,096 tokens, 8 passages each: share of passages whose document is
                the nearest. Transcripts of court hearings, and novels
  parity        with --transformers: the largest difference from transformers' own vectors, relative to
                the largest element (needs `pip install transformers`)

Data: the folder data of $LOWRANK_SHARED. Needs numpy.
"""
import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(os.environ.get("LOWRANK_SHARED", os.path.join(ROOT, "..", "shared")), "data")
WORDS_OF_512_TOKENS = 370  # of English prose, so that a half fits the model


def unpacked(path):
    return subprocess.run(["xz", "-dc", os.path.join(DATA, path)], check=True, stdout=subprocess.PIPE).stdout


def embed(program, model, texts, flags):
    """Vectors of length 1, [texts, c]."""
    with tempfile.TemporaryDirectory() as folder:
        lines, output = os.path.join(folder, "texts.jsonl"), os.path.join(folder, "vectors.npy")
        with open(lines, "w", encoding="utf-8") as file:
            for text in texts:
                file.write(json.dumps({"text": text}) + "\n")
        subprocess.run([program, "embed", model, lines, "--jsonl", "--format", "npy", "--output", output, *flags],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return np.load(output)


def ranks(values):
    """From 1; equal values share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    result = np.empty(len(values))
    result[order] = np.arange(1, len(values) + 1)
    for value in np.unique(values):
        same = values == value
        result[same] = result[same].mean()
    return result


def stsb(embedder):
    rows = [line.split("\t") for line in unpacked("stsb/dev.tsv.xz").decode().splitlines()[1:]]
    first, second = embedder([row[7] for row in rows]), embedder([row[8] for row in rows])
    scores = np.array([float(row[9]) for row in rows])
    return np.corrcoef(ranks((first * second).sum(1)), ranks(scores))[0, 1]


def novels():
    archive = tarfile.open(fileobj=io.BytesIO(unpacked("novels/97_english_novels.tar.xz")))
    for member in sorted(archive.getmembers(), key=lambda entry: entry.name):
        if member.isfile():
            yield archive.extractfile(member).read().decode()


def transcripts():
    for line in unpacked("scotus_transcripts/dev.jsonl.xz").decode().splitlines():
        yield json.loads(line)["text"]


def pieces(text, words, count):
    """`count` consecutive pieces of so many words, from the middle of a text; None where it is shorter."""
    all_words = text.split()
    if len(all_words) < words * count:
        return None
    start = (len(all_words) - words * count) // 2
    return [" ".join(all_words[start + i * words:start + (i + 1) * words]) for i in range(count)]


def halves(embedder):
    found = [p for p in (pieces(text, WORDS_OF_512_TOKENS, 2) for text in transcripts()) if p][:64]
    first, second = embedder([p[0] for p in found]), embedder([p[1] for p in found])
    return np.mean((first @ second.T).argmax(1) == np.arange(len(found)))


def passages(embedder, texts):
    found = [p for p in (pieces(text, WORDS_OF_512_TOKENS, 8) for text in texts) if p][:20]
    documents = embedder([" ".join(p) for p in found])
    parts = embedder([part for p in found for part in p])
    return np.mean((parts @ documents.T).argmax(1) == np.repeat(np.arange(len(found)), 8))


def parity(embedder, model):
    import torch
    from transformers import AutoModel, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(model)
    theirs = AutoModel.from_pretrained(model).eval()
    texts = [" ".join(p) for p in (pieces(text, words, 1) for text, words in zip(transcripts(), range(5, 380, 15)))]
    vectors = []
    with torch.no_grad():
        for text in texts:
            ids = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
            vectors.append(theirs(**ids).last_hidden_state[0].mean(0).numpy())
    expected = np.stack(vectors)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    return np.abs(embedder(texts) - expected).max() / np.abs(expected).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "release", "bin", "lowrank"))
    parser.add_argument("--transformers", action="store_true")
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:split])
    flags = arguments[split + 1:]

    def embedder(texts):
        return embed(options.program, options.model, texts, flags)

    if options.transformers:
        print("transformers' vectors: largest difference %.1e of the largest element" % parity(embedder, options.model))
    print("STS-B dev, Spearman         %.4f" % stsb(embedder), flush=True)
    print("halves of 64 texts, top 1   %.3f" % halves(embedder), flush=True)
    print("passages of transcripts     %.3f" % passages(embedder, transcripts()), flush=True)
    print("passages of novels          %.3f" % passages(embedder, novels()), flush=True)


if __name__ == "__main__":
    main()
