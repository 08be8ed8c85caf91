# SPDX-License-Identifier: MIT
import unittest

from support import main, program, run, simulations


class MyCoroutine(unittest.TestCase):
    def test_ten_times_four_seconds(self):
        self.assertEqual(simulations("1"), {"running\n" * 10 + "after 40.000 s\n"})

    def test_a_thousand_take_as_long_as_one(self):
        self.assertEqual(simulations("1000", seeds=[1]), {"running\n" * 10000 + "after 40.000 s\n"})

    def test_a_bad_number_is_refused(self):
        for bad in ("0", "10001", "-1", "2x", ""):
            with self.subTest(bad):
                status, output, errors = run(program(), bad)
                self.assertEqual((status, output), (2, ""))
                self.assertIn("usage: ", errors)


if __name__ == "__main__":
    main()
