#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants each breach in a small tree and expects tools/check_layers.py to name it."""
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from check_layers import check  # noqa: E402

TABLE = """
| number | layer | may include | torch in public headers | torch elsewhere | prints or exits | state |
|---|---|---|---|---|---|---|
| 0 | `base` | | no | no | no | present |
| 1 | `io` | base | core | all | no | present |
| 1 | `text` | base | no | no | no | planned |
| 2 | `cli` | io, base | all | all | yes | present |

| number | another | table |
"""
LICENSE = "// SPDX-License-Identifier: Apache-2.0\n"


class CheckLayers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.write("docs/architecture.md", TABLE)
        self.write("lowrank/io/CMakeLists.txt", "lowrank_layer(io\n  HEADERS file.h\n  SOURCES file.cpp)\n")
        for layer in ("base", "io", "cli"):
            self.write(f"lowrank/{layer}/file.cpp", LICENSE)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def expect(self, path, code, *breaches):
        """The breaches of one more file, by line and words of the rule."""
        self.write(path, code)
        found = check(self.root)
        self.assertEqual(len(found), len(breaches), found)
        for line, (place, words) in zip(found, breaches):
            self.assertTrue(line.startswith(place + ": ") and words in line, line)

    def test_a_clean_tree_passes(self):
        self.expect("lowrank/io/a.cpp", LICENSE + '#include "lowrank/base/b.h"\n#include <vector>\n')

    def test_includes_go_down_only(self):
        self.expect("lowrank/base/a.cpp", LICENSE + '#include "lowrank/io/b.h"\n',
                    ("lowrank/base/a.cpp:2", 'may not include layer "io"'))

    def test_layers_of_one_number_stay_apart(self):
        self.expect("lowrank/io/a.cpp", LICENSE + '#  include "lowrank/text/b.h"\n',
                    ("lowrank/io/a.cpp:2", 'may not include layer "text"'))

    def test_includes_are_named_from_the_root(self):
        self.expect("lowrank/io/a.cpp", LICENSE + '#include "b.h"\n#include <lowrank/io/b.h>\n',
                    ("lowrank/io/a.cpp:2", "named from the root"), ("lowrank/io/a.cpp:3", "must be written"))

    def test_torch_is_where_the_table_allows(self):
        torch = LICENSE + "#include <ATen/core/Tensor.h>\n#include <ATen/ATen.h>\n"
        self.expect("lowrank/io/a.cpp", torch)
        self.expect("lowrank/io/internal.h", torch)
        self.expect("lowrank/io/file.h", torch, ("lowrank/io/file.h:3", "LibTorch: core"))
        self.write("lowrank/io/file.h", LICENSE)
        self.expect("lowrank/base/a.h", torch, ("lowrank/base/a.h:2", "LibTorch: no"),
                    ("lowrank/base/a.h:3", "LibTorch: no"))

    def test_the_whole_of_torch_is_included_nowhere(self):
        self.expect("lowrank/cli/a.cpp", LICENSE + "#include <torch/torch.h>\n",
                    ("lowrank/cli/a.cpp:2", "include what is used"))

    def test_libraries_do_not_print(self):
        for code in ("std::cout << 1;", "std::exit(1);", "printf(x);", "abort();", "fprintf(stderr, x);", "fmt::print(x);"):
            self.expect("lowrank/io/a.cpp", LICENSE + code + "\n", ("lowrank/io/a.cpp:2", "neither print"))
            self.write("lowrank/io/a.cpp", LICENSE)
            self.expect("lowrank/cli/a.cpp", LICENSE + code + "\n")

    def test_words_in_comments_and_strings_are_no_code(self):
        self.expect("lowrank/io/a.cpp", LICENSE + 'f("exit(1)");  // std::cout\n/*\n#include "lowrank/cli/a.h"\n'
                    'abort(); */ R"(printf("x"))"; snprintf(b, n, f);\n')

    def test_files_begin_with_the_license_and_are_ascii(self):
        self.expect("lowrank/io/a.cpp", "int a;\nint b;  // \u00e9\n",
                    ("lowrank/io/a.cpp:1", "the first line"), ("lowrank/io/a.cpp:2", "ASCII"))

    def test_files_are_named_after_what_they_do(self):
        self.expect("lowrank/io/utils.h", LICENSE, ("lowrank/io/utils.h:1", "named after"))

    def test_every_test_is_built(self):
        self.write("tests/io/CMakeLists.txt", "lowrank_test(io a DEPENDS lowrank::io)\n# lowrank_test(io b)\n")
        self.expect("tests/io/a_test.cpp", LICENSE)
        self.expect("tests/io/b_test.cpp", LICENSE, ("tests/io/b_test.cpp:1", "builds this test"))

    def test_the_table_tells_the_truth(self):
        self.expect("lowrank/text/a.cpp", LICENSE, ("docs/architecture.md:1", "marked planned"))

    def test_the_table_points_down(self):
        self.expect("docs/architecture.md", TABLE.replace("| io, base |", "| cli |"),
                    ("docs/architecture.md:1", "not below"))


if __name__ == "__main__":
    unittest.main()
