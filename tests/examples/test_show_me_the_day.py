# SPDX-License-Identifier: MIT
import signal
import time
import unittest

from support import main, simulate


class Day(unittest.TestCase):
    def test_it_is_today(self):
        days = [time.strftime("%A")]
        status, output, errors = simulate()
        days.append(time.strftime("%A"))  # it may be midnight
        self.assertEqual((status, errors), (0, ""))
        self.assertIn(output, [f"Yo, today is  {day}\n" for day in days])

    def test_what_waits_must_be_called_in_a_task(self):
        status, output, errors = simulate("--outside")
        self.assertEqual((status, output), (-signal.SIGABRT, ""))
        self.assertIn("whorl_sleep was called outside a task", errors)


if __name__ == "__main__":
    main()
