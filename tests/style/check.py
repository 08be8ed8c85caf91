#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the house style, and reports in the Test Anything Protocol.

usage: check.py SOURCE_ROOT | check.py --selftest

--selftest plants a violation of each rule in a small tree of its own and fails unless just that rule finds it.
"""
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

CODE_FOLDERS = ("include", "runtime", "io", "testing", "tests", "examples", "bench", "tools", ".ci")
C_ENDINGS = (".c", ".h", ".cc")
SOURCE_ENDINGS = C_ENDINGS + (".S", ".py", ".sh", "meson.build")
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 100
CLANG_FORMAT_MAJOR = "14"
# Spelt apart, so that this file passes its own rule.
MARKERS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|place" r"holder|\bfor " r"now\b")
# What runtime/ must ask its reactor for, or claims about time and order cannot be exact on the null reactor.
BEHIND_THE_SEAM = re.compile(r"(?<![\w.>])(clock_gettime|gettimeofday|time|rand|random|rand_r|getrandom|getentropy|usleep|nanosleep|"
                             r"clock_nanosleep|sleep)\s*\(")
INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^">]+)[">]')
SUSPENSION = re.compile(r"\b(Suspends|Never suspends|Blocks)\b")


class Missing(Exception):
    """A tool that a rule needs is not there."""


class Tree:
    """The files of a source tree, with their lines."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        for top in sorted(os.listdir(root)):
            path = os.path.join(root, top)
            if os.path.isfile(path):
                self.add(top)
            elif top in CODE_FOLDERS + ("docs",):
                self.walk(top)

    def walk(self, top):
        for folder, folders, names in os.walk(os.path.join(self.root, top)):
            folders[:] = sorted(f for f in folders if f != "__pycache__" and not f.startswith("build"))
            for name in sorted(names):
                self.add(os.path.relpath(os.path.join(folder, name), self.root))

    def add(self, path):
        try:
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                self.files[path] = file.read().splitlines()
        except UnicodeDecodeError:
            pass  # not a text

    def code(self, *folders):
        """The C files below some folders."""
        for path, lines in self.files.items():
            if path.endswith(C_ENDINGS + (".S",)) and path.split(os.sep)[0] in folders:
                yield path, lines

    def scripts(self):
        for path, lines in self.files.items():
            if lines and re.match(r"#!.*\b(sh|bash)\b", lines[0]):
                yield path


def without_comments(lines):
    """The lines with comments and the insides of strings blanked out, so that their numbers stay."""
    text = "\n".join(lines)
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text).split("\n")


def run_tool(tree, command, files):
    files = list(files)
    if not files:
        return []
    run = subprocess.run(command + files, cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return run.stdout.splitlines() if run.returncode else []


def formatted(tree):
    tool = shutil.which("clang-format-" + CLANG_FORMAT_MAJOR) or shutil.which("clang-format")
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout if tool else ""
    if f"version {CLANG_FORMAT_MAJOR}." not in version:
        raise Missing("clang-format-" + CLANG_FORMAT_MAJOR)
    files = [path for path, _ in tree.code(*CODE_FOLDERS) if path.endswith(C_ENDINGS)]
    places = collections.Counter(line.split(":")[0] for line in run_tool(tree, [tool, "--dry-run", "-Werror"], files) if "error:" in line)
    for path, count in places.items():
        yield f"{path}: {count} places differ from {os.path.basename(tool)}'s"


def shell_scripts_are_clean(tree):
    tool = shutil.which("shellcheck")
    if not tool:
        raise Missing("shellcheck")
    return run_tool(tree, [tool, "--format=gcc", "--external-sources", "--source-path=SCRIPTDIR"], tree.scripts())


def includes(lines):
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1)


def layers_know_only_what_is_below(tree):
    for path, lines in tree.code("include"):
        for number, name in includes(lines):
            if not name.startswith("whorl/") and ("/" in name and name.split("/")[0] in ("runtime", "io") or name == "liburing.h"):
                yield f"{path}:{number}: a public header includes {name}"
    for path, lines in tree.code("runtime"):
        for number, name in includes(lines):
            if "liburing" in name or "io/" in name or name.startswith("linux/io_uring"):
                yield f"{path}:{number}: runtime/ includes {name}"
    for path, lines in tree.code("io", "testing", "tests", "examples"):
        for number, name in includes(lines):
            if name.startswith("liburing") and not re.fullmatch(r"io/uring\w*\.[ch]", path):
                yield f"{path}:{number}: only io/uring*.c may include {name}"


def runtime_asks_its_reactor_for_time_and_chance(tree):
    for path, lines in tree.code("runtime"):
        for number, line in enumerate(without_comments(lines), 1):
            found = BEHIND_THE_SEAM.search(line)
            if found:
                yield f"{path}:{number}: calls {found.group(1)}, which belongs behind the reactor"


def comment_above(lines, index):
    """The text of the comment that ends above line `index`; #defines may stand between."""
    index -= 1
    while index > 0 and (lines[index].startswith("#define") or lines[index - 1].endswith("\\")):
        index -= 1
    if not lines[index].endswith("*/"):
        return ""
    start = index
    while start > 0 and "/*" not in lines[start]:
        start -= 1
    return "\n".join(lines[start:index + 1])


def prototypes_say_whether_they_suspend(tree):
    for path, lines in tree.code("include"):
        for index, line in enumerate(lines):
            if line.startswith("WHORL_API") and not SUSPENSION.search(comment_above(lines, index)):
                yield f"{path}:{index + 1}: no comment right above says Suspends, Never suspends or Blocks"


def nothing_is_left_over(tree):
    for path, lines in tree.files.items():
        for number, line in enumerate(lines, 1):
            found = MARKERS.search(line)
            if found:
                yield f"{path}:{number}: {found.group()}"


def sources_name_their_licence(tree):
    for path, lines in tree.files.items():
        is_source = path.endswith(SOURCE_ENDINGS) or (lines and lines[0].startswith("#!"))
        if is_source and not any("SPDX-License-Identifier: MIT" in line for line in lines[:3]):
            yield f"{path}:1: no SPDX-License-Identifier: MIT at the top"


def tests_are_all_built(tree):
    listed = "\n".join(tree.files.get(os.path.join("tests", "meson.build"), []))
    for path, _ in tree.code("tests"):
        found = re.fullmatch(r"tests/((?:unit|io|stress)/(\w+)\.c)", path)
        if found and f"'{found.group(1)}'" not in listed and f"'{found.group(2)}'" not in listed:
            yield f"{path}:1: not in tests/meson.build"


def files_are_short(tree):
    for path, lines in tree.code(*CODE_FOLDERS):
        if len(lines) > FILE_LINES_MAX:
            yield f"{path}:1: {len(lines)} lines, more than {FILE_LINES_MAX}"


def functions_are_short(tree):
    for path, lines in tree.code(*CODE_FOLDERS):
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line == "}" and start:
                if number - start - 1 > FUNCTION_LINES_MAX:
                    yield f"{path}:{start}: a function of {number - start - 1} lines, more than {FUNCTION_LINES_MAX}"
                start = None


RULES = (formatted, shell_scripts_are_clean, layers_know_only_what_is_below, runtime_asks_its_reactor_for_time_and_chance,
         prototypes_say_whether_they_suspend, nothing_is_left_over, sources_name_their_licence, tests_are_all_built, files_are_short)
WARNINGS = (functions_are_short,)


def name_of(rule):
    return rule.__name__.replace("_", " ")


def check(root):
    tree = Tree(root)
    failed = 0
    print(f"1..{len(RULES)}")
    for number, rule in enumerate(RULES, 1):
        try:
            found = list(rule(tree))
        except Missing as tool:
            print(f"ok {number} - {name_of(rule)} # SKIP {tool} is not installed")
            continue
        failed += bool(found)
        print(f"{'not ' if found else ''}ok {number} - {name_of(rule)}")
        for line in found:
            print(f"# {line}")
    for rule in WARNINGS:
        for line in rule(tree):
            print(f"# warning: {line}")
    return 1 if failed else 0


MIT = "/* SPDX-License-Identifier: MIT */\n"
CLEAN = {
    ".clang-format": "BasedOnStyle: LLVM\nIndentWidth: 4\nBreakBeforeBraces: Linux\n",
    "include/whorl/a.h": MIT + "#include <stdint.h>\n\n/* Suspends. */\n#define whorl_b(x) whorl_a(x)\nWHORL_API int whorl_a(int);\n",
    "runtime/a.c": MIT + '#include "runtime/a.h"\n/* time(NULL) */\nint f(struct s *s) { return s->time(0); }\n',
    "io/uring.c": MIT + "#include <liburing.h>\n",
    "tests/meson.build": "# SPDX-License-Identifier: MIT\nunit = ['a']\n",
    "tests/unit/a.c": MIT,
    "tools/a": "#!/bin/sh\n# SPDX-License-Identifier: MIT\necho a\n",
}
LONG = "int f(void)\n{\n" + "    g();\n" * (FUNCTION_LINES_MAX + 1) + "}\n"
PLANTED = (
    (formatted, {"io/b.c": MIT + "int   f(void) {return 0;}\n"}),
    (shell_scripts_are_clean, {"tools/b": "#!/bin/sh\n# SPDX-License-Identifier: MIT\ncd $1\n"}),
    (layers_know_only_what_is_below, {"runtime/b.c": MIT + "#include <liburing.h>\n"}),
    (layers_know_only_what_is_below, {"runtime/b.c": MIT + '#include "io/net.h"\n'}),
    (layers_know_only_what_is_below, {"include/whorl/b.h": MIT + '#include "runtime/task.h"\n'}),
    (layers_know_only_what_is_below, {"io/net.c": MIT + "#include <liburing.h>\n"}),
    (runtime_asks_its_reactor_for_time_and_chance, {"runtime/b.c": MIT + "long f(void) { return time(0); }\n"}),
    (runtime_asks_its_reactor_for_time_and_chance, {"runtime/b.c": MIT + "int f(void) { return clock_gettime(0, 0); }\n"}),
    (runtime_asks_its_reactor_for_time_and_chance, {"runtime/b.c": MIT + "int f(void) { return 1 + rand(); }\n"}),
    (prototypes_say_whether_they_suspend, {"include/whorl/b.h": MIT + "\n/* Does something. */\nWHORL_API int whorl_c(int);\n"}),
    (prototypes_say_whether_they_suspend, {"include/whorl/b.h": MIT + "\n/* Suspends. */\n\nWHORL_API int whorl_c(int);\n"}),
    (nothing_is_left_over, {"io/b.c": MIT + "/* TO" "DO: the rest */\n"}),
    (nothing_is_left_over, {"docs/b.md": "This will do for " "now.\n"}),
    (sources_name_their_licence, {"io/b.c": "int a;\n"}),
    (tests_are_all_built, {"tests/unit/b.c": MIT}),
    (files_are_short, {"io/b.c": MIT + "int f(void);\n" * FILE_LINES_MAX}),
    (functions_are_short, {"io/b.c": MIT + LONG}),
)


def plant(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


def finders(files):
    """The rules that find something in the clean tree with `files` added, and those that lack their tool."""
    found, missing = [], []
    with tempfile.TemporaryDirectory() as root:
        plant(root, {**CLEAN, **files})
        tree = Tree(root)
        for rule in RULES + WARNINGS:
            try:
                found += [rule] if list(rule(tree)) else []
            except Missing:
                missing.append(rule)
    return found, missing


def selftest():
    failed = 0
    print(f"1..{len(PLANTED) + 1}")
    for number, (rule, files) in enumerate(((None, {}),) + PLANTED, 1):
        found, missing = finders(files)
        name = f"just {name_of(rule)} finds {next(iter(files))}" if rule else "no rule finds anything in a clean tree"
        if rule in missing:
            print(f"ok {number} - {name} # SKIP its tool is not installed")
            continue
        passed = found == ([rule] if rule else [])
        failed += not passed
        print(f"{'' if passed else 'not '}ok {number} - {name}")
        if not passed:
            print(f"# found by: {', '.join(map(name_of, found)) or 'none'}")
    return 1 if failed else 0


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-") and sys.argv[1] != "--selftest":
        print(__doc__.strip(), file=sys.stdout if sys.argv[1:] == ["--help"] else sys.stderr)
        return 0 if sys.argv[1:] == ["--help"] else 2
    return selftest() if sys.argv[1] == "--selftest" else check(sys.argv[1])


if __name__ == "__main__":
    sys.exit(main())
