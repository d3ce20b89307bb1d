#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The attention operators against every other implementation that is installed, in one process.

All contestants of a table take the same random inputs in interleaved rounds. A row gives the median, the ratio of the
peer's time to ours (median and quartiles of the rounds' ratios), the error against the same formula in float64, and the
share of this machine's floor: the operations of the formula at the rates that machine_peaks measures here, at their best
and in the same rounds (the median of its own). Two entries of ours in the same rounds give the noise (A/A). A contestant
whose error is over the tolerance is named and gets no ratio. With backward, "kept" is what autograd keeps from the forward,
q, k and v included.

    pip install transformers nystrom-attention linformer openvino        # those that you want to see
    bench/peers.py [--n 1024,4096] [--dtype float32,bfloat16] [--passes forward,backward] [--rounds 15]
"""
import argparse
import functools
import json
import statistics
import subprocess
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
HEADS, HEAD_SIZE, LANDMARKS, TAPS, STEPS, PROJECTED = 12, 64, 64, 33, 6, 256
BATCH_WIDE_START = {"transformers", "nystrom-attention"}
TOLERANCE = {(torch.float32, False): 1e-5, (torch.float32, True): 1e-4,
             (torch.bfloat16, False): 1e-2, (torch.bfloat16, True): 2e-2}


# ---- the formulas, as one would write them in PyTorch; q, k, v [1, h, n, d]

def plain_nystrom(q, k, v, w, m=LANDMARKS, batch_wide_start=False):
    b, h, n, d = q.shape
    q = q * d ** -0.5
    qm, km = (x.view(b, h, m, n // m, d).mean(3) for x in (q, k))
    a = torch.softmax((qm @ km.transpose(-1, -2)).to(torch.promote_types(q.dtype, torch.float32)), -1)
    largest = a.sum(-2).amax(-1)
    z = a.transpose(-1, -2) / (largest.max() if batch_wide_start else largest[..., None, None])
    identity = torch.eye(m, dtype=a.dtype)
    for _ in range(STEPS):
        x = a @ z
        z = 0.25 * z @ (13 * identity - x @ (15 * identity - x @ (7 * identity - x)))
    bv = torch.softmax(qm @ k.transpose(-1, -2), -1) @ v
    out = torch.softmax(q @ km.transpose(-1, -2), -1) @ (z.to(q.dtype) @ bv)
    return out + F.conv2d(v, w, padding=(TAPS // 2, 0), groups=h)


def plain_linformer(q, k, v, e, f):
    return torch.softmax((q * q.shape[-1] ** -0.5) @ (e @ k).transpose(-1, -2), -1) @ (f @ v)


def sdpa_linformer(q, k, v, e, f):
    return F.scaled_dot_product_attention(q, e @ k, f @ v)


def sdpa(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


# ---- other people's modules, their projections replaced so that the attention alone is timed; both Nystrom modules start
# the inverse from a norm over the whole batch, so that they are judged by the formula that does the same

class Give(nn.Module):
    """Stands in for a linear layer and returns what was put in."""

    def forward(self, _):
        return self.value


def merged(x):
    return x.transpose(1, 2).flatten(2)


def transformers_nystrom(n):
    from transformers import NystromformerConfig
    from transformers.models.nystromformer.modeling_nystromformer import NystromformerSelfAttention
    config = NystromformerConfig(hidden_size=HEADS * HEAD_SIZE, num_attention_heads=HEADS, num_landmarks=LANDMARKS,
                                 segment_means_seq_len=n, conv_kernel_size=TAPS, inv_coeff_init_option=False,
                                 attention_probs_dropout_prob=0.0)
    module = NystromformerSelfAttention(config).eval()
    module.query, module.key, module.value = Give(), Give(), Give()

    def run(q, k, v, w):
        module.conv.weight.data = w.detach()
        module.query.value, module.key.value, module.value.value = merged(q), merged(k), merged(v)
        out = module(module.query.value)[0]
        return out.unflatten(2, (HEADS, HEAD_SIZE)).transpose(1, 2)
    return run


def lucidrains_nystrom(_):
    from nystrom_attention import NystromAttention
    module = NystromAttention(dim=HEADS * HEAD_SIZE, dim_head=HEAD_SIZE, heads=HEADS, num_landmarks=LANDMARKS,
                              pinv_iterations=STEPS, residual_conv_kernel=TAPS).eval()
    module.to_qkv, module.to_out = Give(), nn.Identity()

    def run(q, k, v, w):
        module.res_conv.weight.data = w.detach()
        module.to_qkv.value = torch.cat([merged(x) for x in (q, k, v)], -1)
        return module(module.to_qkv.value).unflatten(2, (HEADS, HEAD_SIZE)).transpose(1, 2)
    return run


def lucidrains_linformer(n):
    from linformer import LinformerSelfAttention
    module = LinformerSelfAttention(HEADS * HEAD_SIZE, n, k=PROJECTED, heads=HEADS, dim_head=HEAD_SIZE).eval()
    module.to_q, module.to_k, module.to_v, module.to_out = Give(), Give(), Give(), nn.Identity()

    def run(q, k, v, e, f):
        module.proj_k.data, module.proj_v.data = e.detach().T, f.detach().T
        module.to_q.value, module.to_k.value, module.to_v.value = merged(q), merged(k), merged(v)
        return module(module.to_q.value).unflatten(2, (HEADS, HEAD_SIZE)).transpose(1, 2)
    return run


def autocast(run):
    """For modules that fail on tensors of bfloat16: float tensors, and autocast inside."""
    def cast(*x):
        with torch.autocast("cpu", torch.bfloat16):
            return run(*x)
    return cast


def openvino(formula, dtype, example):
    import openvino as ov
    names = ov.properties.hint.inference_precision, ov.properties.inference_num_threads

    class Formula(nn.Module):
        def forward(self, *x):
            return formula(*x)
    wide = tuple(x.detach().float() for x in example)
    model = ov.convert_model(Formula(), example_input=wide, input=[tuple(x.shape) for x in wide])
    precision = ov.Type.f32 if dtype == torch.float32 else ov.Type.bf16
    request = ov.compile_model(model, "CPU", {names[0]: precision, names[1]: torch.get_num_threads()}).create_infer_request()
    inputs = [x.numpy() for x in wide]  # float inputs and outputs, whatever it computes in
    return lambda *_: torch.from_numpy(request.infer(inputs, share_inputs=True, share_outputs=True)[0])


# ---- ours, on the memory that our layers give it, [n, h, d]

def ragged(x):
    return x[0].transpose(0, 1)


def our_nystrom(q, k, v, w):
    offsets = torch.tensor([0, q.shape[0]])
    return torch.ops.lowrank.nystrom_attention(q, k, v, offsets, w, landmarks=LANDMARKS, inverse_steps=STEPS)


def our_linformer(q, k, v, e, f):
    return torch.ops.lowrank.linformer_attention(q, k, v, e, f, torch.tensor([0, q.shape[0]]))


# ---- measuring

class Contestant:
    def __init__(self, name, run, inputs, gradient):
        self.name, self.run, self.inputs, self.gradient, self.seconds = name, run, inputs, gradient, []
        self.batch_wide_start = name in BATCH_WIDE_START

    def once(self):
        if self.gradient is None:
            with torch.no_grad():
                return [self.run(*self.inputs)]
        out = self.run(*self.inputs)
        return [out, *torch.autograd.grad(out, self.inputs[:3], self.gradient)]

    def timed(self):
        start = time.perf_counter()
        self.once()
        self.seconds.append(time.perf_counter() - start)


def kept_bytes(row):
    """Of the storages that the graph of one forward holds on to."""
    storages = {}

    def remember(x):
        storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda x: x):
        row.run(*row.inputs)
    return sum(storages.values())


def error(results, oracle):
    def one(x, y):
        return ((x.double() - y).norm() / y.norm()).item()
    return max(one(x, y) for x, y in zip(results, oracle))


def floor_seconds(kind, n, dtype, backward, peaks):
    """The counts of the formulas: products at the dtype's rate, convolution and inverse at float's, and exponentials."""
    d, m, r = HEADS * HEAD_SIZE, LANDMARKS, PROJECTED
    if kind == "nystrom":
        products = (28 if backward else 8) * n * m * d
        small = (6 if backward else 2) * TAPS * n * d + (144 if backward else 48) * m ** 3 * HEADS
        exponentials = (4 if backward else 2) * n * m * HEADS
    else:
        products, small = (26 if backward else 8) * n * r * d, 0
        exponentials = (2 if backward else 1) * n * r * HEADS
    product_rate, exp_rate = (("float_flop", "exp") if dtype == torch.float32 else ("bfloat16_flop", "bfloat16_exp"))
    return (products / peaks[product_rate] + small / peaks["float_flop"] + exponentials / peaks[exp_rate]) / 1e9


def attempt(name, make, skipped):
    try:
        return make()
    except Exception as reason:  # whatever a peer raises is its row of the table
        skipped.append(f"{name}: {type(reason).__name__}: {str(reason).splitlines()[0][:120] if str(reason) else ''}")
        return None


def contestants(kind, n, dtype, backward, arguments):
    torch.manual_seed(0)
    shape = (1, HEADS, n, HEAD_SIZE)
    q, k, v, gradient = (torch.randn(shape, dtype=dtype) for _ in range(4))
    if kind == "nystrom":
        learned = [torch.randn(HEADS, 1, TAPS, 1, dtype=dtype) / TAPS]
        formula, our_op = plain_nystrom, our_nystrom
        ours_learned = [learned[0].view(HEADS, TAPS)]
        others = {"transformers": lambda: transformers_nystrom(n), "nystrom-attention": lambda: lucidrains_nystrom(n)}
    else:
        learned = [torch.randn(PROJECTED, n, dtype=dtype) / n ** 0.5 for _ in range(2)]
        formula, our_op, ours_learned = plain_linformer, our_linformer, learned
        others = {"plain torch, SDPA inside": lambda: sdpa_linformer, "linformer": lambda: lucidrains_linformer(n)}
    others = {"plain torch": lambda: formula, **others}
    if arguments.compile:
        others["torch.compile"] = lambda: torch.compile(formula, dynamic=False)

    def leaf(x):
        return x.detach().clone().contiguous().requires_grad_(backward)
    rows, skipped = [], []
    g = gradient if backward else None
    for name in ("lowrank", "lowrank again"):
        inputs = [leaf(ragged(x)) for x in (q, k, v)] + ours_learned
        rows.append(Contestant(name, our_op, inputs, ragged(gradient).contiguous() if backward else None))
    inputs = [leaf(x) for x in (q, k, v)] + learned
    if n <= arguments.longest_exact:
        rows.append(Contestant("SDPA (exact)", lambda q, k, v, *_: sdpa(q, k, v), inputs, g))
    for name, make in others.items():
        run = attempt(name, make, skipped)
        if run and dtype == torch.bfloat16 and name in BATCH_WIDE_START:
            rows.append(Contestant(name, autocast(run), [leaf(x.float()) for x in inputs], gradient.float() if backward else None))
        elif run:
            rows.append(Contestant(name, run, inputs, g))
    if not backward and arguments.openvino:
        run = attempt("OpenVINO", lambda: openvino(formula, dtype, inputs), skipped)
        if run:
            rows.append(Contestant("OpenVINO", run, inputs, None))
    oracle_inputs = [x.detach().double().requires_grad_(backward) for x in inputs]

    def oracle(run):
        return [x.detach() for x in Contestant("oracle", run, oracle_inputs, gradient.double() if backward else None).once()]
    oracles = {False: oracle(formula)}
    if kind == "nystrom":
        oracles[True] = oracle(functools.partial(plain_nystrom, batch_wide_start=True))
    return rows, oracles, skipped


def machine_peaks(arguments):
    return json.loads(subprocess.run([arguments.peaks, str(arguments.threads)], check=True, capture_output=True).stdout)


def measure(kind, n, dtype, backward, arguments):
    rows, oracles, skipped = contestants(kind, n, dtype, backward, arguments)
    alive = []
    for row in rows:
        result = attempt(row.name, row.once, skipped)
        if result is None:
            continue
        if row.run is our_nystrom or row.run is our_linformer:
            result = [x.transpose(0, 1).unsqueeze(0) for x in result]
        row.error = None if row.name.startswith("SDPA (") else error(result, oracles[row.batch_wide_start])
        row.kept = kept_bytes(row) if backward else None
        alive.append(row)
        for _ in range(2):
            row.once()
    peaks = []
    for i in range(arguments.rounds):
        peaks.append(machine_peaks(arguments))
        for row in alive if i % 2 == 0 else reversed(alive):
            row.timed()
    best = {name: max(peak["best"][name] for peak in peaks) for name in peaks[0]["best"]}
    floor = floor_seconds(kind, n, dtype, backward, best)
    floors_then = [floor_seconds(kind, n, dtype, backward, peak["median"]) for peak in peaks]
    report(kind, n, dtype, backward, alive, skipped, floor, floors_then)
    print(f"peaks of these rounds: {best}\n", flush=True)


def quartiles(values):
    values = sorted(values)
    return values[len(values) // 4], statistics.median(values), values[(3 * len(values)) // 4]


def report(kind, n, dtype, backward, rows, skipped, floor, floors_then):
    name = str(dtype).removeprefix("torch.")
    reached = floor / statistics.median(rows[0].seconds)
    reached_then = statistics.median(then / mine for then, mine in zip(floors_then, rows[0].seconds))
    print(f"\n{kind}, {'forward + backward' if backward else 'forward'}, n = {n:,}, {name}: "
          f"floor {floor * 1e3:.2f} ms, {100 * reached:.0f} % of it reached, "
          f"{100 * reached_then:.0f} % at the rates of these rounds\n")
    print("| contestant | ms | peer / lowrank (quartiles) | error | kept MiB |\n|---|---|---|---|---|")
    limit = TOLERANCE[dtype, backward]
    for row in rows:
        low, middle, high = quartiles([theirs / mine for theirs, mine in zip(row.seconds, rows[0].seconds)])
        ratio = f"{middle:.2f} ({low:.2f} - {high:.2f})" if row is not rows[0] else "1"
        if row.error is not None and not row.error <= limit:
            ratio = f"disqualified: error over {limit:g}"
        shown = "another function" if row.error is None else f"{row.error:.1e}"
        kept = "-" if row.kept is None else f"{row.kept / 2**20:.1f}"
        print(f"| {row.name} | {statistics.median(row.seconds) * 1e3:.2f} | {ratio} | {shown} | {kept} |")
    for reason in skipped:
        print(f"\nnot measured: {reason}")
    print(flush=True)


def numbers(text):
    return [int(x) for x in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="nystrom,linformer")
    parser.add_argument("--n", type=numbers, default=[512, 1024, 4096], help="lengths, multiples of 64")
    parser.add_argument("--dtype", default="float32,bfloat16")
    parser.add_argument("--passes", default="forward,backward")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--longest-exact", type=int, default=4096, help="no exact attention beyond this length")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--no-openvino", dest="openvino", action="store_false")
    parser.add_argument("--library", default=ROOT / "build/release/lowrank/ops/liblowrank_ops.so", type=Path)
    parser.add_argument("--peaks", default=ROOT / "build/release/bin/machine_peaks", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.ops.load_library(str(arguments.library))
    print(f"torch {torch.__version__}, {arguments.threads} threads, h {HEADS}, d {HEAD_SIZE}, m {LANDMARKS}, "
          f"r {PROJECTED}, {TAPS} taps")
    for kind in arguments.kinds.split(","):
        for dtype in (getattr(torch, name) for name in arguments.dtype.split(",")):
            for n in arguments.n:
                for which in arguments.passes.split(","):
                    measure(kind, n, dtype, which == "backward", arguments)


if __name__ == "__main__":
    main()
