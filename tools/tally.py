#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the single tests of a test run and prints: PASSED FAILED SKIPPED. What failed is named on standard error.

usage: tally.py meson LOG.json | tally.py tap STATUS OUTPUT ERRORS

LOG.json is what `meson test` leaves in meson-logs. OUTPUT and ERRORS are files with what one program printed, STATUS is how it
exited. A program that neither speaks the Test Anything Protocol nor ends with a sum counts as one test, skipped when STATUS is 77.
"""
import json
import os
import re
import sys

SKIPPED = 77
LINES_SHOWN = 15


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def fail(self, name):
        self.failed += 1
        show("    FAILED: " + name)

    def add_tap(self, name, output):
        """Counts the lines of a report. Returns how many tests it had, how many of them failed, and how many were announced."""
        tests = failures = announced = 0
        in_failure = False
        if not re.search(r"^1\.\.\d", output, re.MULTILINE):
            return 0, 0, 0
        for line in output.splitlines():
            plan = re.match(r"1\.\.(\d+)", line)
            test = re.match(r"(not )?ok\b[\s\d]*(?:-\s*)?([^#]*)(#\s*skip)?", line, re.IGNORECASE)
            if plan:
                announced = int(plan.group(1))
            elif not test:
                if in_failure and line.startswith("#"):
                    show("        " + line)
            else:
                tests += 1
                in_failure = bool(test.group(1))
                failures += in_failure
                self.passed += not in_failure and not test.group(3)
                self.skipped += not in_failure and bool(test.group(3))
                if in_failure:
                    self.fail(f"{name}: {test.group(2).strip()}")
        return tests, failures, announced

    def add_program(self, name, output, errors, good, skipped):
        """Counts what a program printed, and shows the end of its errors when something failed."""
        before = self.failed
        tests, failures, announced = self.add_tap(name, output)
        own_sum = own_sum_of(output, errors)
        if tests == 0 and own_sum and good == (own_sum[1] == 0):
            self.passed += own_sum[0]
            self.skipped += own_sum[2]
            labels = re.findall(r"^(?:FAIL|ERROR):? (.*)", output + errors, re.MULTILINE)
            for number in range(own_sum[1]):
                self.fail(f"{name}: {labels[number]}" if number < len(labels) else name)
        elif tests == 0 and skipped:
            self.skipped += 1
        elif tests == 0 and good:
            self.passed += 1
        elif failures == 0 and (not good or tests != announced):
            self.fail(f"{name}, as a whole")
        if self.failed > before:
            for line in (errors.strip() or output.strip()).splitlines()[-LINES_SHOWN:]:
                show("        " + line)


def own_sum_of(output, errors):
    """What passed, failed and was skipped by a program's own last words: "N passed, N failed, N skipped", or Python's unittest's."""
    found = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped\s*\Z", output, re.MULTILINE)
    if found:
        return tuple(map(int, found.groups()))
    found = re.search(r"^Ran (\d+) tests? in .*\n\n(?:OK|FAILED)(.*)\s*\Z", errors, re.MULTILINE)
    if not found:
        return None
    words = dict(re.findall(r"(failures|errors|skipped)=(\d+)", found.group(2)))
    failed, skipped = int(words.get("failures", 0)) + int(words.get("errors", 0)), int(words.get("skipped", 0))
    return int(found.group(1)) - failed - skipped, failed, skipped


def show(line):
    print(line, file=sys.stderr)


def tally_meson(log):
    tally = Tally()
    with open(log, encoding="utf-8") as file:
        for line in file:
            test = json.loads(line)
            result = test["result"]
            tally.add_program(test["name"], test.get("stdout", ""), test.get("stderr", ""), result in ("OK", "EXPECTEDFAIL", "SKIP"),
                              result == "SKIP")
    return tally


def tally_tap(status, path, errors_path):
    tally = Tally()
    with open(path, encoding="utf-8", errors="replace") as output, open(errors_path, encoding="utf-8", errors="replace") as errors:
        tally.add_program(os.path.basename(path), output.read(), errors.read(), status in (0, SKIPPED), status == SKIPPED)
    return tally


def main():
    if sys.argv[1:2] == ["meson"] and len(sys.argv) == 3:
        tally = tally_meson(sys.argv[2])
    elif sys.argv[1:2] == ["tap"] and len(sys.argv) == 5:
        tally = tally_tap(int(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    print(tally.passed, tally.failed, tally.skipped)
    return 0


if __name__ == "__main__":
    sys.exit(main())
