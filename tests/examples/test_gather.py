# SPDX-License-Identifier: MIT
import unittest

from support import main, simulations


class Gather(unittest.TestCase):
    def test_one_second_and_two_seconds_are_two_seconds(self):
        self.assertEqual(simulations(), {"['Result from task 1', 'Result from task 2']\nafter 2.000 s\n"})


if __name__ == "__main__":
    main()
