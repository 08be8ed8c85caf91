# SPDX-License-Identifier: MIT
import unittest

from support import main, needs_uring, program, run


@needs_uring
class FetchTimeout(unittest.TestCase):
    def test_a_server_that_never_answers_is_given_up(self):
        self.assertEqual(run(program(), "--timeout", "2000"), (0, "/: Example Domain\n/slow: The request timed out!\n", ""))


class Numbers(unittest.TestCase):
    def test_a_bad_one_is_refused(self):
        for bad in ("0", "-1", "60001", "1s", "", "99999999999999999999"):
            with self.subTest(bad):
                status, output, errors = run(program(), "--timeout", bad)
                self.assertEqual((status, output), (2, ""))
                self.assertIn("usage: ", errors)


if __name__ == "__main__":
    main()
