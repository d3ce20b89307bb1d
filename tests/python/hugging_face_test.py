# SPDX-License-Identifier: Apache-2.0
"""Directories that transformers writes, through `lowrank convert` and back into transformers.

    hugging_face_test.py PROGRAM        the program lowrank

Needs `pip install transformers`; without it there is nothing to compare with, and the test says so.
"""

import os
import subprocess
import sys
import tempfile
import unittest

import torch

try:
    import transformers
except ImportError:
    transformers = None

SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, vocab_size=50,
             max_position_embeddings=40)
CLASSIFIERS = ["ForSequenceClassification", "ForTokenClassification"]
HEADS = ["Model", "ForMaskedLM", "ForQuestionAnswering", "ForMultipleChoice"] + CLASSIFIERS


def convert(*arguments):
    run = subprocess.run([PROGRAM, "convert", *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@unittest.skipIf(transformers is None, "transformers is not installed")
class HuggingFace(unittest.TestCase):
    def comes_back(self, name, **sizes):
        for head in HEADS:
            labels = dict(num_labels=3) if head in CLASSIFIERS else {}
            config = getattr(transformers, name + "Config")(**SIZES, **sizes, **labels)
            with self.subTest(model=name + head), tempfile.TemporaryDirectory() as folder:
                kind = getattr(transformers, name + head)
                before = kind(config).eval()
                source, ours, theirs = (os.path.join(folder, part) for part in ("source", "ours", "theirs"))
                before.save_pretrained(source)
                convert(source, ours)
                convert(ours, theirs, "--to", "huggingface")
                after, report = kind.from_pretrained(theirs, output_loading_info=True)
                self.assertFalse(report["missing_keys"] or report["unexpected_keys"] or report["mismatched_keys"])
                expected, found = before.state_dict(), after.state_dict()
                self.assertEqual(expected.keys(), found.keys())
                for key, tensor in expected.items():
                    self.assertTrue(torch.equal(tensor, found[key]), key)
                self.assertEqual(after.config.hidden_act, before.config.hidden_act)
                self.assertEqual(after.config.num_labels, before.config.num_labels)

    def test_bert_comes_back_to_the_bit(self):
        self.comes_back("Bert")

    def test_roberta_comes_back_to_the_bit(self):
        self.comes_back("Roberta", type_vocab_size=1)

    def test_nystromformer_comes_back_to_the_bit(self):
        self.comes_back("Nystromformer", num_landmarks=4, segment_means_seq_len=32, conv_kernel_size=5)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
