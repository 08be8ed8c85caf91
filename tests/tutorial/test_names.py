# SPDX-License-Identifier: MIT
"""What docs/asyncio.md and docs/tutorial.md speak of is there: calls and structures in the headers, programs in examples/. usage:
test_names.py SOURCE_ROOT"""
import glob
import os
import re
import sys
import unittest

ROOT = sys.argv.pop(1)
NAME = re.compile(r"\bwhorl_[a-z][a-z0-9_]*\b")


def text(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


class Names(unittest.TestCase):
    def test_calls_and_structures_are_in_the_headers(self):
        known = {name for path in glob.glob(os.path.join(ROOT, "include", "whorl", "*.h")) for name in NAME.findall(text(path))}
        for page in ("asyncio.md", "tutorial.md"):
            self.assertEqual(sorted(set(NAME.findall(text("docs", page))) - known), [], page)

    def test_programs_are_in_the_examples(self):
        known = set()
        for path in glob.glob(os.path.join(ROOT, "examples", "**", "meson.build"), recursive=True):
            known |= set(re.findall(r"'(\w+)'", text(path)))
        named = []
        for line in text("docs", "asyncio.md").splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) == 6:  # with an empty one at each end; programs are in the fourth column
                named += re.findall(r"`(\w+)[^`]*`", cells[4])
        self.assertGreater(len(named), 30)
        self.assertEqual(sorted(set(named) - known - {"close", "failure"}), [])  # two of them are arguments of the program before


if __name__ == "__main__":
    unittest.main(verbosity=2)
