# SPDX-License-Identifier: MIT
import unittest

from support import main, needs_uring, program, run


@needs_uring
class TestFetch(unittest.TestCase):
    def test_both_tests_pass(self):
        status, output, errors = run(program())
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("ok 1 - fetch/finds_the_example_domain\nok 2 - fetch/is_given_up_when_its_time_is_over\n", output)

    def test_one_can_be_chosen(self):
        status, output, errors = run(program(), "--filter", "fetch/is_given_up_when_its_time_is_over")
        self.assertEqual((status, errors), (0, ""))
        self.assertNotIn("example_domain", output)


if __name__ == "__main__":
    main()
