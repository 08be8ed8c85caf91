# SPDX-License-Identifier: MIT
"""--help, and a command line that is wrong, the same for every program."""
import unittest

from support import main, program, run


class Usage(unittest.TestCase):
    def test_help_goes_to_standard_output(self):
        status, output, errors = run(program(), "--help")
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(output.startswith("usage: "))

    def test_an_unknown_flag_prints_the_usage_and_exits_with_2(self):
        for bad in (["--no-such-flag"], ["surplus"]):
            with self.subTest(bad):
                status, output, errors = run(program(), *bad)
                self.assertEqual((status, output), (2, ""))
                self.assertIn("usage: ", errors)


if __name__ == "__main__":
    main()
