#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a program with a planted mistake, and fails unless it fails with the sanitizer's report of just that.

usage: must_fail.py REPORT PROGRAM [ARGUMENT ...]
"""
import subprocess
import sys

SKIPPED = 77


def main():
    if len(sys.argv) < 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    report, command = sys.argv[1], sys.argv[2:]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=200)
    # Its report belongs to its failure, not to ours.
    print(run.stdout, file=sys.stderr)
    if run.returncode == 0 and "# SKIP" in run.stdout:
        return SKIPPED
    if run.returncode == 0:
        print(f"The mistake is planted, and yet {command[0]} passed.")
        return 1
    if report not in run.stdout:
        print(f"{command[0]} failed, but not with the report: {report}")
        return 1
    print("It fails as it must.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
