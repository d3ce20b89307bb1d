#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What torch.save wrote, as io::load_tensors reads it, against torch.load.

    checkpoints_test.py <rewrite_tensors>      the program of tests/io/rewrite_tensors.cpp
"""
import argparse
import collections
import json
import os
import pickle
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch

REWRITE = ""
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
          "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64, "BOOL": torch.bool, "C64": torch.complex64,
          "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}


def read_safetensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        dtype = DTYPES[entry["dtype"]]
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=dtype) if end > begin else torch.empty(0, dtype=dtype)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and (
        a.contiguous().flatten().view(torch.uint8).tolist() == b.contiguous().flatten().view(torch.uint8).tolist())


class CallsTheSystem:
    def __reduce__(self):
        return os.system, ("touch " + CallsTheSystem.file,)


class OwnClass:
    pass


class Checkpoints(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def rewrite(self, path):
        out = self.folder / "out.safetensors"
        done = subprocess.run([REWRITE, str(path), str(out)], capture_output=True, text=True, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        if done.returncode:
            return None, done.stderr
        return read_safetensors(out), done.stdout

    def load(self, content, **options):
        path = self.folder / "some.pt"
        torch.save(content, path, **options)
        return self.rewrite(path)

    def expect_same(self, got, expected):
        self.assertEqual(sorted(got), sorted(expected))
        for name, tensor in expected.items():
            self.assertTrue(same(got[name], tensor.detach()), name)

    def ways(self):
        for protocol in (2, 3, 4, 5):
            yield {"pickle_protocol": protocol}
        yield {"_use_new_zipfile_serialization": False}

    def test_state_dicts_of_modules_come_back_in_every_format_and_protocol(self):
        module = torch.nn.TransformerEncoderLayer(16, 2, 32)
        for options in self.ways():
            got, _ = self.load(module.state_dict(), **options)
            self.expect_same(got, module.state_dict())

    def test_every_dtype_comes_back(self):
        values = torch.arange(12).reshape(3, 4) % 2
        tensors = {str(dtype): values.to(dtype) for dtype in DTYPES.values()}
        got, _ = self.load(tensors)
        self.expect_same(got, tensors)

    def test_views_come_back_by_their_values(self):
        base = torch.arange(60.).reshape(5, 12)
        tensors = {"base": base, "t": base.t(), "slice": base[1:4, 2:9:3], "row": base[2], "last": base[4, 11],
                   "wide": base[:, :1].expand(5, 7), "none": base[:0], "empty": torch.empty(0, 3),
                   "scalar": torch.tensor(3.5), "tied": base}
        for options in self.ways():
            got, _ = self.load(tensors, **options)
            self.expect_same(got, tensors)

    def test_parameters_and_tensors_with_attributes_come_back(self):
        tagged = torch.ones(3)
        tagged.tag = "text"
        parameter = torch.nn.Parameter(torch.ones(2, 3))
        parameter.tag = {"a": 1}
        tensors = {"tagged": tagged, "plain": torch.nn.Parameter(torch.zeros(4)), "parameter": parameter,
                   "buffer": torch.nn.Buffer(torch.ones(2))}
        got, _ = self.load(tensors)
        self.expect_same(got, tensors)

    def test_an_optimizer_comes_back_under_dotted_names(self):
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        got, out = self.load(optimizer.state_dict())
        self.assertTrue(same(got["state.0.exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"]))
        self.assertIn("left out param_groups.0.lr: float 0.001\n", out)

    def test_the_state_dict_of_a_larger_checkpoint_is_found(self):
        state = {"w": torch.ones(2, 2), "b": torch.zeros(2)}
        others = {"args": argparse.Namespace(arch="x", layers=[1, 2]), "epoch": 3, "best": 0.5, "note": "n",
                  "optimizer": {"state": {0: torch.ones(2)}}, "counts": collections.Counter("aab"),
                  "seen": {1, 2}, "huge": 1 << 100, "negative": -5, "none": None}
        for key in ("state_dict", "model_state_dict", "model", "module"):
            for options in self.ways():
                got, out = self.load({**others, key: state}, **options)
                self.expect_same(got, state)
                self.assertIn(f"root {key}\n", out)
                self.assertIn("left out args: argparse.Namespace\n", out)
                self.assertIn("left out epoch: int 3\n", out)
                self.assertIn("left out negative: int -5\n", out)
                self.assertIn("left out huge: builtins.int\n", out)

    def test_shards_come_back_whole(self):
        parts = [{"a": torch.ones(2)}, {"b": torch.zeros(3), "c": torch.arange(4)}]
        weight_map = {}
        for number, part in enumerate(parts):
            name = f"pytorch_model-{number}.bin"
            torch.save(part, self.folder / name)
            weight_map.update({key: name for key in part})
        index = {"metadata": {"total_size": 52}, "weight_map": weight_map}
        (self.folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        got, _ = self.rewrite(self.folder)
        self.expect_same(got, {**parts[0], **parts[1]})

    def test_a_call_is_refused_by_name_and_not_made(self):
        CallsTheSystem.file = str(self.folder / "called")
        for options in self.ways():
            for content in ({"w": torch.ones(1), "x": CallsTheSystem()}, CallsTheSystem()):
                got, error = self.load(content, **options)
                self.assertIsNone(got)
                self.assertIn(f'its pickle asks for "{os.system.__module__}.system"', error)
                self.assertIn("nothing was run", error)
        self.assertFalse(os.path.exists(CallsTheSystem.file))

    def test_other_classes_are_refused_by_name(self):
        for content, name in ((OwnClass(), "__main__.OwnClass"), (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
                              ({"f": eval}, "builtins.eval"), ({"f": getattr}, "builtins.getattr")):
            got, error = self.load(content)
            self.assertIsNone(got)
            self.assertIn(f'its pickle asks for "{name}"', error.replace("__builtin__", "builtins"))
            self.assertIn("torch.save(model.state_dict(), path)", error)

    def test_what_cannot_be_read_is_named(self):
        for content, reason in (({"s": torch.eye(3).to_sparse()}, "_rebuild_sparse_tensor"),
                                ({"q": torch.quantize_per_tensor(torch.ones(3), .1, 0, torch.qint8)}, "_rebuild_qtensor"),
                                ({"c": torch.ones(3, dtype=torch.complex64).conj()}, "conjugated"),
                                (torch.ones(3), "is no dict"), ({"a": 1}, "holds no tensor"),
                                ({"a": {"b": torch.ones(1)}, "a.b": torch.ones(1)}, "there twice")):
            got, error = self.load(content)
            self.assertIsNone(got)
            self.assertIn(reason, error)
            self.assertIn("some.pt: ", error)

    def test_a_program_of_torchscript_and_a_plain_pickle_are_named(self):
        path = self.folder / "some.pt"
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
        self.assertIn("TorchScript", self.rewrite(path)[1])
        path.write_bytes(pickle.dumps({"a": 1}, protocol=2))
        self.assertIn("it is no file of torch.save", self.rewrite(path)[1])

    def test_recorded_checkpoints_come_back(self):
        models = Path(os.environ.get("LOWRANK_SHARED", "")) / "golden" / "models"
        files = sorted(models.glob("*/pytorch_model.bin"))
        if not files:
            self.skipTest("LOWRANK_SHARED names no folder with golden/models.")
        for file in files:
            got, _ = self.rewrite(file.parent)
            self.expect_same(got, torch.load(file, weights_only=True))


if __name__ == "__main__":
    REWRITE = sys.argv.pop(1)
    unittest.main()
