# SPDX-License-Identifier: MIT
import time
import unittest

from support import main, needs_uring, program, run


@needs_uring
class Hello(unittest.TestCase):
    def test_says_hello_after_a_tenth_of_a_second(self):
        start = time.monotonic()
        status, output, errors = run(program())
        self.assertEqual((status, output, errors), (0, "hello\n", ""))
        self.assertGreaterEqual(time.monotonic() - start, 0.1)

    def test_anything_else_on_the_command_line_is_refused(self):
        status, output, errors = run(program(), "--bogus")
        self.assertEqual((status, output), (2, ""))
        self.assertIn("usage: hello", errors)
        status, output, errors = run(program(), "--help")
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("usage: hello", output)


if __name__ == "__main__":
    main()
