#!/usr/bin/env python3
"""Training speed of the quickstart's model against the same model in plain PyTorch.

Both sides run in processes of their own, in turn, several times; the table gives the median of each,
the spread, and the ratio of the pairs. The batch is the same: 8 files, hashed 1- and 3-gram
embeddings over patches of 8 bytes, 2 pre-LN layers, width 64, 2 heads, Nystrom attention with 64
landmarks and a 33-tap convolution, AdamW, clipping.

    bench/training_peer.py [--rounds 5] [--program build/release/bin/training_bench]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

LENGTHS = {
    "equal": [16384] * 8,
    "ragged": [16384, 15000, 12288, 11000, 8192, 6000, 4096, 1500],
}
WIDTH, HEADS, LANDMARKS, TAPS, BUCKETS, PATCH, CLASSES = 64, 2, 64, 33, 16384, 8, 12


def build_model():
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)
            self.conv = nn.Conv2d(HEADS, HEADS, (TAPS, 1), padding=(TAPS // 2, 0), groups=HEADS, bias=False)

        def forward(self, x, mask):
            b, n, _ = x.shape
            q, k, v = self.qkv(x).view(b, n, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
            q = q * (WIDTH // HEADS) ** -0.5
            keep = mask[:, None, :, None]
            q, k, v = q * keep, k * keep, v * keep
            length = n // LANDMARKS
            count = mask.view(b, 1, LANDMARKS, length, 1).sum(3).clamp(min=1)
            qm = q.view(b, HEADS, LANDMARKS, length, -1).sum(3) / count
            km = k.view(b, HEADS, LANDMARKS, length, -1).sum(3) / count
            front = torch.softmax(q @ km.transpose(-1, -2), -1)
            middle = torch.softmax(qm @ km.transpose(-1, -2), -1)
            scores = (qm @ k.transpose(-1, -2)).masked_fill(~mask.bool()[:, None, None, :], -1e9)
            back = torch.softmax(scores, -1)
            eye = torch.eye(LANDMARKS)
            z = middle.transpose(-1, -2) / middle.sum(-2).amax(-1)[..., None, None]
            for _ in range(6):
                az = middle @ z
                z = 0.25 * z @ (13 * eye - az @ (15 * eye - az @ (7 * eye - az)))
            out = front @ (z @ (back @ v)) + self.conv(v)
            return self.out(out.transpose(1, 2).reshape(b, n, WIDTH))

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attention = Attention()
            self.expand, self.contract = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

        def forward(self, x, mask):
            x = x + self.attention(self.norm1(x), mask)
            return x + self.contract(F.gelu(self.expand(self.norm2(x))))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.EmbeddingBag(2 * BUCKETS, WIDTH, mode="sum")
            self.positions = nn.Parameter(torch.randn(2048, WIDTH) * 0.02)
            self.layers = nn.ModuleList([Layer(), Layer()])
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

        def forward(self, tokens, mask):
            b, n = tokens.shape
            before = F.pad(tokens, (2, 0))
            triple = (before[:, :-2] * 66049 + before[:, 1:-1] * 257 + tokens) * 2654435761 % (1 << 32)
            ids = torch.stack([tokens, BUCKETS + triple % BUCKETS], -1)
            x = self.table(ids.view(-1, 2 * PATCH)).view(b, n // PATCH, WIDTH) + self.positions[: n // PATCH]
            rows = mask[:, ::PATCH].float()
            for layer in self.layers:
                x = layer(x, rows)
            x = (self.norm(x) * rows[..., None]).sum(1) / rows.sum(1, keepdim=True)
            return self.head(x)

    return Model()


def run_plain(lengths, steps):
    """Seconds a step, after three steps to warm up."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(torch.get_num_threads())
    torch.manual_seed(0)
    model = build_model()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, (0.9, 0.98), fused=True)
    longest = -(-max(lengths) // (PATCH * LANDMARKS)) * PATCH * LANDMARKS
    tokens = torch.randint(0, 256, (len(lengths), longest))
    mask = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    labels = torch.arange(len(lengths)) % CLASSES

    def step():
        loss = F.cross_entropy(model(tokens * mask, mask), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for _ in range(3):
        step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - started) / steps


def run_child(command):
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)["seconds"]


def quartiles(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--program", default="build/release/bin/training_bench")
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.plain:
        print(json.dumps({"seconds": run_plain(LENGTHS[flags.plain], flags.steps)}))
        return

    print(f"{'batch':8} {'lowrank ms':>12} {'PyTorch ms':>12} {'PyTorch / lowrank':>18} {'quartiles':>14} {'rows/s':>9}")
    for name, lengths in LENGTHS.items():
        ours, theirs = [], []
        for _ in range(flags.rounds):
            ours.append(run_child([flags.program, str(flags.steps)] + [str(n) for n in lengths]))
            theirs.append(run_child([sys.executable, __file__, "--plain", name, "--steps", str(flags.steps)]))
        ratios = [b / a for a, b in zip(ours, theirs)]
        low, high = quartiles(ratios)
        rows = sum(-(-n // PATCH) for n in lengths) / statistics.median(ours)
        print(f"{name:8} {1000 * statistics.median(ours):12.1f} {1000 * statistics.median(theirs):12.1f} "
              f"{statistics.median(ratios):18.2f} {low:6.2f} - {high:.2f} {rows:9.0f}")


if __name__ == "__main__":
    main()
