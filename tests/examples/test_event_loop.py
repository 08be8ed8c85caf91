# SPDX-License-Identifier: MIT
import unittest

from support import main, simulations

WANTED = "the first run is over, its task is not\nthe second run ends after 3.000 s, with 42\n"


class EventLoop(unittest.TestCase):
    def test_what_one_run_leaves_is_there_in_the_next(self):
        self.assertEqual(simulations(), {WANTED})


if __name__ == "__main__":
    main()
