# SPDX-License-Identifier: MIT
import unittest

from support import main, simulations

SIMPLE = """\
0.000 s: sends a letter
3.000 s: has the answer to the letter
3.000 s: calls back a client
5.000 s: has spoken to the client
5.000 s: makes coffee
6.000 s: brings the coffee
6.000 s: goes home
"""
BEGUN = ["0.000 s: calls back a client", "0.000 s: makes coffee", "0.000 s: sends a letter"]
DONE = ["1.000 s: brings the coffee", "2.000 s: has spoken to the client", "3.000 s: has the answer to the letter",
        "3.000 s: goes home"]


class Secretary(unittest.TestCase):
    def test_waiting_for_each_takes_the_sum(self):
        self.assertEqual(simulations("--simple"), {SIMPLE})

    def test_the_ideal_one_takes_as_long_as_the_longest_errand(self):
        for output in simulations():
            lines = output.splitlines()
            self.assertEqual(sorted(lines[:3]), BEGUN)
            self.assertEqual(lines[3:], DONE)

    def test_in_which_order_things_are_done_is_not_the_order_of_the_lines(self):
        self.assertGreater(len(simulations()), 1)


if __name__ == "__main__":
    main()
