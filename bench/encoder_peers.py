#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A whole encoder layer in inference, and a training step of a small encoder, against other implementations.

layer: one post-LN layer of BERT-base (width 768, 12 heads, feed-forward 3,072) on one sequence; everyone has the same
weights. Nystrom: 64 landmarks, 33 taps. The error is against the plain formula in float64, with the start of the inverse
that the contestant has; a contestant over the tolerance is named and gets no ratio.

train: AdamW step of a classifier on one sequence (6 layers, width 384, 6 heads, feed-forward 1,536, 256 tokens); bfloat16
means autocast. A gradient has no second implementation to be judged by here: the operators' own are in peers.py.

Ours runs in a process of its own (encoder_bench) and is one more contestant in the interleaved rounds; two of ours give the
noise.

    pip install transformers openvino onnx onnxscript onnxruntime       # those that you want to see
    bench/encoder_peers.py [--what layer,train] [--n 512,4096] [--dtype float32,bfloat16] [--rounds 9]
"""
import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from peers import attempt, numbers, plain_nystrom, quartiles

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEADS, FEED_FORWARD, LANDMARKS, TAPS = 768, 12, 3072, 64, 33
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


# ---- one layer

def make_weights(n):
    """Under our names; see EncoderLayer."""
    torch.manual_seed(0)
    def linear(name, outputs, inputs):
        return {f"{name}.weight": torch.randn(outputs, inputs) * inputs ** -0.5, f"{name}.bias": torch.randn(outputs) / 10}
    weights = {"x": torch.randn(n, WIDTH), "attention.filter": torch.randn(HEADS, TAPS) / TAPS}
    for name in ("query", "key", "value", "output"):
        weights |= linear(f"attention.{name}", WIDTH, WIDTH)
    weights |= linear("expand", FEED_FORWARD, WIDTH) | linear("contract", WIDTH, FEED_FORWARD)
    for name in ("norm1", "norm2"):
        weights |= {f"{name}.weight": 1 + torch.randn(WIDTH) / 10, f"{name}.bias": torch.randn(WIDTH) / 10}
    return weights


def plain_layer(weights, kind, batch_wide_start):
    """The formula in float64."""
    w = {name: value.double() for name, value in weights.items()}
    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])
    def norm(name, x):
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)
    x = w["x"]
    q, k, v = (linear(f"attention.{name}", x).unflatten(1, (HEADS, -1)).transpose(0, 1)[None] for name in ("query", "key", "value"))
    if kind == "exact":
        attended = F.scaled_dot_product_attention(q, k, v)
    else:
        attended = plain_nystrom(q, k, v, w["attention.filter"].view(HEADS, 1, TAPS, 1), LANDMARKS, batch_wide_start)
    x = norm("norm1", x + linear("attention.output", attended[0].transpose(0, 1).flatten(1)))
    return norm("norm2", x + linear("contract", F.gelu(linear("expand", x))))


# Theirs to ours.
NAMES = {"attention.self.query": "attention.query", "attention.self.key": "attention.key",
         "attention.self.value": "attention.value", "attention.output.dense": "attention.output",
         "attention.output.LayerNorm": "norm1", "intermediate.dense": "expand", "output.dense": "contract",
         "output.LayerNorm": "norm2"}


def load_weights(layer, weights):
    state = {}
    for name in layer.state_dict():
        stem, _, last = name.rpartition(".")
        state[name] = weights["attention.filter"].view(HEADS, 1, TAPS, 1) if "conv" in name else weights[f"{NAMES[stem]}.{last}"]
    layer.load_state_dict(state)
    return layer.eval()


class First(nn.Module):
    """transformers' layers return a tuple in some versions."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        out = self.layer(x)
        return out[0] if isinstance(out, tuple) else out


def bert(weights):
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertLayer
    config = BertConfig(attn_implementation="sdpa")
    return First(load_weights(BertLayer(config), weights))


def nystromformer(weights):
    from transformers import NystromformerConfig
    from transformers.models.nystromformer.modeling_nystromformer import NystromformerLayer
    n = weights["x"].shape[0]
    config = NystromformerConfig(num_landmarks=LANDMARKS, segment_means_seq_len=n, conv_kernel_size=TAPS, hidden_act="gelu",
                                 inv_coeff_init_option=False, layer_norm_eps=1e-12)
    return First(load_weights(NystromformerLayer(config), weights))


def in_torch(layer, x, dtype):
    def run():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return layer(x)
    return run


def in_openvino(layer, x, dtype):
    import openvino as ov
    hints = ov.properties.hint.inference_precision, ov.properties.inference_num_threads
    model = ov.convert_model(layer, example_input=x, input=[tuple(x.shape)])
    precision = ov.Type.f32 if dtype == torch.float32 else ov.Type.bf16
    request = ov.compile_model(model, "CPU", {hints[0]: precision, hints[1]: torch.get_num_threads()}).create_infer_request()
    return lambda: torch.from_numpy(request.infer([x.numpy()], share_inputs=True, share_outputs=True)[0])


def in_onnxruntime(layer, x, dtype):
    import onnxruntime
    if dtype != torch.float32:
        raise RuntimeError("its CPU kernels have no bfloat16")
    with tempfile.TemporaryDirectory() as folder:
        torch.onnx.export(layer, (x,), f"{folder}/layer.onnx", input_names=["x"], dynamo=False, opset_version=17)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(f"{folder}/layer.onnx", options, providers=["CPUExecutionProvider"])
    return lambda: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


# ---- a training step

def train_step(model, n, dtype):
    """`model` takes tokens [1, n] and gives hidden rows [1, n, c]."""
    head = nn.Linear(384, 2)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], 1e-3, fused=True)
    tokens, label = torch.randint(0, 256, (1, n)), torch.tensor([1])

    def run():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = F.cross_entropy(head(model(tokens)[0].mean(1)), label)
        loss.backward()
        optimizer.step()
    return run


SIZES = {"vocab_size": 256, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 1536,
         "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def bert_step(n, dtype):
    from transformers import BertConfig, BertModel
    config = BertConfig(**SIZES, max_position_embeddings=n, attn_implementation="sdpa")
    return train_step(BertModel(config, add_pooling_layer=False), n, dtype)


def nystromformer_step(n, dtype):
    from transformers import NystromformerConfig, NystromformerModel
    config = NystromformerConfig(**SIZES, max_position_embeddings=n, num_landmarks=LANDMARKS, segment_means_seq_len=n,
                                 conv_kernel_size=TAPS, hidden_act="gelu", inv_coeff_init_option=False)
    return train_step(NystromformerModel(config), n, dtype)


# ---- measuring

class Ours:
    """encoder_bench, which does its work once for each line that it gets."""

    def __init__(self, arguments, *words):
        self.process = subprocess.Popen([arguments.program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{arguments.program} did not start")

    def seconds(self):
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Contestant:
    def __init__(self, name, run, error=None):
        self.name, self.run, self.error, self.times = name, run, error, []

    def timed(self):
        if isinstance(self.run, Ours):
            return self.times.append(self.run.seconds())
        started = time.perf_counter()
        self.run()
        self.times.append(time.perf_counter() - started)


def layer_contestants(n, dtype, arguments, skipped):
    weights = make_weights(n)
    x = weights["x"][None]
    oracles = {(kind, start): plain_layer(weights, kind, start)
               for kind, start in (("nystrom", False), ("nystrom", True), ("exact", False))}

    def error(y, kind, batch_wide_start):
        oracle = oracles[kind, batch_wide_start]
        return ((y.double().view_as(oracle) - oracle).norm() / oracle.norm()).item()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/layer.safetensors"
        save_file(weights, file)
        for name, kind in (("lowrank, Nystrom", "nystrom"), ("the same again", "nystrom"), ("lowrank, exact", "exact")):
            run = Ours(arguments, "layer", kind, str(n), str(dtype).removeprefix("torch."), file)
            rows.append(Contestant(name, run, error(load_file(file + ".out")["y"], kind, False)))
    engines = {"transformers": in_torch, "OpenVINO": in_openvino, "ONNX Runtime": in_onnxruntime}
    for engine, make in engines.items():
        for model, build, kind in (("BERT", bert, "exact"), ("Nystromformer", nystromformer, "nystrom")):
            name = f"{engine}, {model}"
            run = attempt(name, lambda: make(build(weights), x, dtype), skipped)
            y = run and attempt(name, run, skipped)
            if y is not None:
                rows.append(Contestant(name, run, error(y, kind, kind == "nystrom")))
    return rows


def train_contestants(n, dtype, arguments, skipped):
    name = str(dtype).removeprefix("torch.")
    rows = [Contestant(label, Ours(arguments, "train", kind, str(n), name))
            for label, kind in (("lowrank, Nystrom", "nystrom"), ("the same again", "nystrom"), ("lowrank, exact", "exact"))]
    for label, make in (("transformers, BERT", bert_step), ("transformers, Nystromformer", nystromformer_step)):
        run = attempt(label, lambda: make(n, dtype), skipped)
        if run:
            rows.append(Contestant(label, run))
    return rows


def measure(what, n, dtype, arguments):
    skipped = []
    rows = (layer_contestants if what == "layer" else train_contestants)(n, dtype, arguments, skipped)
    for i in range(-1, arguments.rounds):
        for row in rows if i % 2 == 0 else reversed(rows):
            row.timed()
    for row in rows:
        row.times = row.times[1:]  # the first round warms up
        if isinstance(row.run, Ours):
            row.run.close()
    report(what, n, dtype, rows, skipped)


def report(what, n, dtype, rows, skipped):
    print(f"\n{what}, n = {n:,}, {str(dtype).removeprefix('torch.')}\n")
    print("| contestant | ms | its time / lowrank (quartiles) | error |\n|---|---|---|---|")
    for row in rows:
        low, middle, high = quartiles([theirs / ours for theirs, ours in zip(row.times, rows[0].times)])
        ratio = f"{middle:.2f} ({low:.2f} - {high:.2f})" if row is not rows[0] else "1"
        if row.error is not None and not row.error <= TOLERANCE[dtype]:
            ratio = f"disqualified: error over {TOLERANCE[dtype]:g}"
        shown = "-" if row.error is None else f"{row.error:.1e}"
        print(f"| {row.name} | {statistics.median(row.times) * 1e3:.1f} | {ratio} | {shown} |")
    for reason in skipped:
        print(f"\nnot measured: {reason}")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", default="layer,train")
    parser.add_argument("--n", type=numbers, default=[512, 4096], help="lengths, multiples of 64")
    parser.add_argument("--dtype", default="float32,bfloat16")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--program", default=ROOT / "build/release/bin/encoder_bench", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for what in arguments.what.split(","):
        for n in arguments.n:
            for dtype in (getattr(torch, name) for name in arguments.dtype.split(",")):
                measure(what, n, dtype, arguments)


if __name__ == "__main__":
    main()
