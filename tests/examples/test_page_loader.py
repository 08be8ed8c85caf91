# SPDX-License-Identifier: MIT
import unittest

from support import main, simulations

AT_ONCE = """\
0.060 s: footer.svg loaded
0.080 s: style.css  loaded
0.120 s: script.js  loaded
0.450 s: hero.jpg   loaded
3.000 s: dead.png   given up
3.000 s: page       shown
"""
ONE_BY_ONE = """\
0.080 s: style.css  loaded
0.530 s: hero.jpg   loaded
3.530 s: dead.png   given up
3.650 s: script.js  loaded
3.710 s: footer.svg loaded
3.710 s: page       shown
"""


class PageLoader(unittest.TestCase):
    def test_a_dead_host_delays_nothing_else(self):
        self.assertEqual(simulations(), {AT_ONCE})

    def test_one_by_one_it_does(self):
        self.assertEqual(simulations("--one-by-one"), {ONE_BY_ONE})


if __name__ == "__main__":
    main()
