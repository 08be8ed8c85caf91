#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles each public header alone, twice included, as each language that may use it. Reports in the Test Anything Protocol.

usage: headers.py INCLUDE_FOLDER
"""
import glob
import os
import shutil
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LANGUAGES = (("gcc", "c11"), ("clang", "c11"), ("g++", "c++11"), ("g++", "c++20"), ("clang++", "c++11"), ("clang++", "c++20"))


def compile_alone(compiler, standard, folder, header):
    language = "c++" if "++" in compiler else "c"
    command = [compiler, "-std=" + standard, "-x", language, "-fsyntax-only", "-I", folder] + WARNINGS + ["-"]
    source = f"#include <{header}>\n#include <{header}>\nint headers_of_whorl;\n"
    run = subprocess.run(command, input=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return run.returncode == 0, run.stdout


def check(folder):
    headers = sorted(os.path.relpath(path, folder) for path in glob.glob(os.path.join(folder, "whorl", "*.h")))
    failed = number = 0
    print(f"1..{len(headers) * len(LANGUAGES)}")
    for compiler, standard in LANGUAGES:
        for header in headers:
            number += 1
            name = f"{header} as {standard} by {compiler}"
            if not shutil.which(compiler):
                print(f"ok {number} - {name} # SKIP {compiler} is not installed")
                continue
            passed, text = compile_alone(compiler, standard, folder, header)
            failed += not passed
            print(f"{'' if passed else 'not '}ok {number} - {name}")
            for line in text.splitlines():
                print(f"# {line}")
    return 1 if failed or not headers else 0


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    return check(sys.argv[1])


if __name__ == "__main__":
    sys.exit(main())
