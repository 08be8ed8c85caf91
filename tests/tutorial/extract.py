#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Takes the programs out of docs/tutorial.md.

usage: extract.py --names TUTORIAL | extract.py TUTORIAL NAME FOLDER

Each chapter, a heading that ends with the program's name, has one block of C, and then one of text, which is what it prints. With --names the
names are printed, a line each; else NAME.c and NAME.text are written. A chapter without its two blocks is an error.
"""
import os
import re
import sys

HEADING = re.compile(r"^## \d+\. .*: `(\w+)\.c`$", re.M)
BLOCKS = re.compile(r"^```c\n(.*?)^```$.*?^```text\n(.*?)^```$", re.M | re.S)


def chapters(text):
    """Triples of name, program and output."""
    parts = HEADING.split(text)
    for name, chapter in zip(parts[1::2], parts[2::2]):
        found = BLOCKS.search(chapter)
        if not found or chapter.count("```c\n") != 1:
            sys.exit(f"extract.py: {name}.c: want one block of C, then one of text")
        yield name, found[1], found[2]


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    names_only = len(sys.argv) == 3 and sys.argv[1] == "--names"
    if not names_only and len(sys.argv) != 4:
        print(__doc__.strip(), file=sys.stdout if sys.argv[1:] == ["--help"] else sys.stderr)
        return 0 if sys.argv[1:] == ["--help"] else 2
    with open(sys.argv[2 if names_only else 1], encoding="utf-8") as file:
        found = list(chapters(file.read()))
    for name, program, output in found:
        if names_only:
            print(name)
        elif name == sys.argv[2]:
            write(os.path.join(sys.argv[3], name + ".c"), program)
            write(os.path.join(sys.argv[3], name + ".text"), output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
