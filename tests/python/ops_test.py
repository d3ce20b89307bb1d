# SPDX-License-Identifier: Apache-2.0
"""The operators as Python sees them, through torch.ops alone.

    ops_test.py LIBRARY        the shared library of the ops layer
"""

import os
import shutil
import sys
import tempfile
import unittest

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck

ops = torch.ops.lowrank
OFFSETS = torch.tensor([0, 2, 2, 8])


def numbers(*sizes, dtype=torch.float64):
    return torch.randn(*sizes, dtype=dtype, requires_grad=True)


def softmax_attention(q, k, v):
    """[n, h, d] by the textbook."""
    q, k, v = (x.transpose(0, 1) for x in (q, k, v))
    scores = q @ k.transpose(1, 2) / q.size(-1) ** 0.5
    return (scores.softmax(-1) @ v).transpose(0, 1)


def calls():
    """Each op with small arguments: name, function of the differentiable ones, those."""
    q, k, v = (numbers(8, 2, 3) for _ in range(3))
    pq, pk, pv = (numbers(2, 2, 4, 2) for _ in range(3))
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1]]).bool()
    w, e, f, x, a = numbers(2, 3), numbers(3, 9), numbers(3, 9), numbers(8, 2), numbers(2, 3, 3)
    return [
        ("exact", lambda *t: ops.exact_attention(*t, OFFSETS), (q, k, v)),
        ("nystrom", lambda *t: ops.nystrom_attention(*t, OFFSETS, landmarks=3), (q, k, v)),
        ("nystrom with a filter",
         lambda q, k, v, w: ops.nystrom_attention(q, k, v, OFFSETS, w, landmarks=3), (q, k, v, w)),
        ("nystrom, partly exact",
         lambda *t: ops.nystrom_attention(*t, OFFSETS, landmarks=1, exact_up_to=2), (q, k, v)),
        ("linformer", lambda *t: ops.linformer_attention(*t, OFFSETS), (q, k, v, e, f)),
        ("padded exact", lambda *t: ops.padded_exact_attention(*t, mask), (pq, pk, pv)),
        ("padded nystrom",
         lambda *t: ops.padded_nystrom_attention(*t, mask, landmarks=2), (pq, pk, pv)),
        ("padded nystrom, partly exact",
         lambda *t: ops.padded_nystrom_attention(*t, mask, landmarks=1, exact_up_to=2),
         (pq, pk, pv)),
        ("padded linformer",
         lambda *t: ops.padded_linformer_attention(*t, None, mask), (pq, pk, pv, e)),
        ("project_sequences", lambda x, e: ops.project_sequences(x, e, OFFSETS), (x, e)),
        ("segment_means", lambda x: ops.segment_means(x, OFFSETS, 3), (x,)),
        ("pseudo_inverse", lambda a: ops.pseudo_inverse(a, 3), (a,)),
        ("resize_projection", lambda e: ops.resize_projection(e, 5), (e,)),
    ]


class Ops(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def test_a_ragged_batch_is_the_plain_formula_on_each_sequence(self):
        q, k, v = (numbers(8, 2, 3) for _ in range(3))
        expected = torch.cat([softmax_attention(*(x[a:b] for x in (q, k, v)))
                              for a, b in ((0, 2), (2, 8))])
        torch.testing.assert_close(ops.exact_attention(q, k, v, OFFSETS), expected)
        # No more tokens than landmarks, or than exact_up_to: exact too.
        torch.testing.assert_close(ops.nystrom_attention(q, k, v, OFFSETS, landmarks=6), expected)
        torch.testing.assert_close(
            ops.nystrom_attention(q, k, v, OFFSETS, landmarks=2, exact_up_to=6), expected)

    def test_linformer_is_the_plain_formula_on_projected_keys_and_values(self):
        q, k, v, e = numbers(6, 2, 3), numbers(6, 2, 3), numbers(6, 2, 3), numbers(4, 9)
        project = lambda x: torch.einsum("rn,nhd->rhd", e[:, :6], x)
        torch.testing.assert_close(
            ops.linformer_attention(q, k, v, e, None, torch.tensor([0, 6])),
            softmax_attention(q, project(k), project(v)))

    def test_the_graph_keeps_the_inputs_and_a_few_rows(self):
        n, m = 640, 8
        q, k, v = (numbers(n, 2, 16, dtype=torch.float32) for _ in range(3))
        e = numbers(m, n, dtype=torch.float32)
        offsets = torch.tensor([0, n])
        for name, function, arguments in (
                ("nystrom", lambda *t: ops.nystrom_attention(*t, offsets, landmarks=m), (q, k, v)),
                ("linformer", lambda *t: ops.linformer_attention(*t, None, offsets), (q, k, v, e))):
            kept = {}

            def remember(x):
                kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
                return x
            with self.subTest(name), torch.autograd.graph.saved_tensors_hooks(remember, lambda x: x):
                function(*arguments)
                inputs = sum(x.numel() * 4 for x in arguments)
                self.assertLessEqual(sum(kept.values()), inputs + 2 * m * 2 * (16 + 2) * 4)

    def test_first_and_second_derivatives_are_those_of_finite_differences(self):
        for name, function, arguments in calls():
            with self.subTest(name):
                self.assertTrue(gradcheck(function, arguments))
                self.assertTrue(gradgradcheck(function, arguments))

    def test_schema_fake_tensors_and_tracing_hold_what_torch_expects(self):
        q, k, v = (numbers(8, 2, 3, dtype=torch.float32) for _ in range(3))
        w, e = numbers(2, 3, dtype=torch.float32), numbers(3, 9, dtype=torch.float32)
        p = numbers(2, 2, 4, 3, dtype=torch.float32)
        for op, arguments, options in (
                (ops.exact_attention, (q, k, v, OFFSETS), {}),
                (ops.nystrom_attention, (q, k, v, OFFSETS, w), {"landmarks": 3}),
                (ops.nystrom_attention, (q, k, v, OFFSETS, w), {"landmarks": 1, "exact_up_to": 2}),
                (ops.linformer_attention, (q, k, v, e, None, OFFSETS), {}),
                (ops.padded_nystrom_attention, (p, p, p, torch.tensor([4, 2])), {"landmarks": 2}),
                (ops.segment_means, (q, OFFSETS, 3), {}),
                (ops.project_sequences, (q.flatten(1), e, OFFSETS), {}),
                (ops.pseudo_inverse, (numbers(2, 3, 3, dtype=torch.float32),), {})):
            with self.subTest(str(op)):
                torch.library.opcheck(op.default, arguments, options)

    def test_fake_tensors_know_sizes_and_dtypes(self):
        with FakeTensorMode():
            q = torch.empty(8, 2, 3, dtype=torch.bfloat16)
            offsets = torch.empty(4, dtype=torch.int64)
            out = ops.nystrom_attention(q, q, q, offsets, landmarks=3)
            self.assertEqual((out.shape, out.dtype), (q.shape, q.dtype))
            self.assertEqual(ops.segment_means(q, offsets, 5).shape, (3, 5, 2, 3))

    def test_compiles_whole(self):
        backends = ["aot_eager"] + (["inductor"] if shutil.which("c++") else [])
        for name, function, arguments in calls():
            loss = lambda *t: function(*t).sin().sum()
            expected = torch.autograd.grad(loss(*arguments), arguments)
            for backend in backends if name == "nystrom" else backends[:1]:
                with self.subTest(name, backend=backend):
                    torch._dynamo.reset()  # each loss counts as one more version of the same code
                    compiled = torch.compile(loss, fullgraph=True, backend=backend)
                    got = torch.autograd.grad(compiled(*arguments), arguments)
                    torch.testing.assert_close(got, expected)

    def test_autocast_gives_its_dtype(self):
        q = torch.randn(8, 2, 3)
        with torch.autocast("cpu", torch.bfloat16):
            for out in (ops.exact_attention(q, q, q, OFFSETS),
                        ops.nystrom_attention(q, q, q, OFFSETS, torch.ones(2, 3), landmarks=3),
                        ops.linformer_attention(q, q, q, torch.ones(3, 9), None, OFFSETS)):
                self.assertEqual(out.dtype, torch.bfloat16)

    def test_sizes_raise_value_error_and_dtypes_type_error(self):
        q = torch.randn(8, 2, 3)
        with self.assertRaisesRegex(ValueError, "q must be .total, heads, head_size.; got 2 dim"):
            ops.exact_attention(q[0], q, q, OFFSETS)
        with self.assertRaisesRegex(ValueError, "causal = true"):
            ops.nystrom_attention(q, q, q, OFFSETS, causal=True)
        with self.assertRaisesRegex(ValueError, "6 tokens and e has columns for 5.*resize_proj"):
            ops.linformer_attention(q, q, q, torch.ones(3, 5), None, OFFSETS)
        with self.assertRaisesRegex(TypeError, "share one dtype; got Float and Double"):
            ops.exact_attention(q, q.double(), q, OFFSETS)
        with self.assertRaisesRegex(TypeError, "offsets must be int64 on the CPU"):
            ops.exact_attention(q, q, q, OFFSETS.int())


if __name__ == "__main__":
    torch.ops.load_library(sys.argv.pop(1))
    # A cache of its own: one that an interrupted run left behind would decide this test.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        unittest.main()
