// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/strip_comments.h"

#include <gtest/gtest.h>

#include <string>

namespace lowrank::data {
namespace {

struct StripCase {
  const char* path;
  const char* text;
  const char* expected;
};

class StripLeadingComments : public ::testing::TestWithParam<StripCase> {};

TEST_P(StripLeadingComments, LeavesTheTextFromItsFirstLineOfCode) {
  const StripCase& c = GetParam();
  EXPECT_EQ(strip_leading_comments(c.text, c.path), c.expected);
}

INSTANTIATE_TEST_SUITE_P(
    C, StripLeadingComments,
    ::testing::Values(
        StripCase{"a.h", "// one\n// two\n\n#pragma once // kept\n", "#pragma once // kept\n"},
        StripCase{"a.cpp", "/* a\n * b */\n/**/ // c\nint x; /* kept */\n", "int x; /* kept */\n"},
        StripCase{"a.c", "int x;\n// kept\n", "int x;\n// kept\n"},
        StripCase{"a.c", "/* never closed", ""}, StripCase{"a.c", "// only", ""},
        StripCase{"a.c", "#include <x>\n", "#include <x>\n"},
        StripCase{"config.h.in", "/* l */\n#cmakedefine X\n", "#cmakedefine X\n"},
        StripCase{"a.hpp", "\xEF\xBB\xBF// l\r\nint x;\r\n", "int x;\r\n"},
        StripCase{"include/vector", "// <vector>\n/* l */\n#ifndef X\n", "#ifndef X\n"}));

INSTANTIATE_TEST_SUITE_P(
    Python, StripLeadingComments,
    ::testing::Values(
        StripCase{"a.py",
                  "#!/usr/bin/python\n# -*- coding -*-\n\"\"\"Doc.\n\nMore.\"\"\"\nimport os\n",
                  "import os\n"},
        StripCase{"a.py", "r'''It\\'''s.''' # why\n'one line'\nx = 1 # kept\n", "x = 1 # kept\n"},
        StripCase{"a.py", "\"\"\"a\"\"\"; x = 1\n", "\"\"\"a\"\"\"; x = 1\n"},
        StripCase{"a.py", "'a'.join(x)\n", "'a'.join(x)\n"},
        StripCase{"a.py", "'not closed\nx\n", "'not closed\nx\n"},
        StripCase{"a.pyi", "'''never closed", ""},
        StripCase{"a.py", "return_ = 1\n", "return_ = 1\n"},
        StripCase{"tool", "#!/usr/bin/env python3\n'''doc'''\nx\n", "x\n"}));

INSTANTIATE_TEST_SUITE_P(
    Perl, StripLeadingComments,
    ::testing::Values(StripCase{"A.pm", "# l\n\n=head1 NAME\n\nA\n\n=cut\n\npackage A;\n",
                                "package A;\n"},
                      StripCase{"A.pm", "=cut\npackage A;\n", "package A;\n"},
                      StripCase{"A.pod", "=pod\n\nnever cut\n", ""},
                      StripCase{"A.pm", "package A;\n=pod\n", "package A;\n=pod\n"},
                      StripCase{"run", "#!/usr/bin/perl -w\n=pod\n=cut\nuse A;\n", "use A;\n"}));

INSTANTIATE_TEST_SUITE_P(
    Others, StripLeadingComments,
    ::testing::Values(StripCase{"a.cmake", "#[==[ l ]] ]==]\n#[[b]]\n# c\nset(x)\n", "set(x)\n"},
                      StripCase{"CMakeLists.txt", "#[=x\nset(x)\n", "set(x)\n"},
                      StripCase{"a.cmake", "#[[ never closed", ""},
                      StripCase{"a.sh", "#!/bin/sh\n# l\necho # kept\n", "echo # kept\n"},
                      StripCase{"run", "#!/bin/sh\n# l\necho\n", "echo\n"},
                      StripCase{"a.txt", "\n # no language\n", "# no language\n"},
                      StripCase{"a.txt", "", ""}, StripCase{"a.txt", " \n\t", ""}));

}  // namespace
}  // namespace lowrank::data
