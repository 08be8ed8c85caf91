# SPDX-License-Identifier: MIT
"""That each way does all of the work, which the program looks at itself. It judges no times."""
import os
import re
import shutil
import tempfile
import unittest
import unittest.mock

from support import main, needs_uring, program, run

WAYS = ["one after the other", "threads", "processes", "one worker", "all workers"]
SMALL = ["--units", "20", "--wait", "1", "--steps", "1000"]


class Options(unittest.TestCase):
    def test_a_bad_number_is_named(self):
        for bad in (["--units", "0"], ["--units", "10001"], ["--wait", "-1"], ["--steps", "1e6"], ["--plot", "it's"]):
            with self.subTest(bad):
                status, output, errors = run(program(), *bad)
                self.assertEqual((status, output), (2, ""))
                self.assertIn("usage: ", errors)


@needs_uring
class Compare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.picture = os.path.join(folder.name, "compare.svg")

    def check(self, output):
        lines = [re.fullmatch(r"(.*?) +\d+\.\d{3} s", line) for line in output.splitlines()]
        self.assertEqual([line[1] for line in lines], WAYS)

    def test_each_way_does_the_work(self):
        status, output, errors = run(program(), *SMALL)
        self.assertEqual((status, errors), (0, ""))
        self.check(output)

    @unittest.skipUnless(shutil.which("gnuplot"), "gnuplot is not installed")
    def test_the_plot_shows_each_way(self):
        status, output, errors = run(program(), *SMALL, "--plot", self.picture)
        self.assertEqual((status, errors), (0, ""))
        self.check(output)
        with open(self.picture, encoding="utf-8") as file:
            picture = file.read()
        self.assertTrue(picture.rstrip().endswith("</svg>"))
        for name in WAYS:
            self.assertIn(name, picture)

    def test_where_there_is_no_gnuplot_it_says_so(self):
        with unittest.mock.patch.dict(os.environ, PATH="/nonexistent"):
            status, output, errors = run(program(), *SMALL, "--plot", self.picture)
        self.assertEqual((status, errors), (1, "compare: gnuplot is not installed (Debian: gnuplot-nox)\n"))
        self.check(output)
        self.assertFalse(os.path.exists(self.picture))


if __name__ == "__main__":
    main()
