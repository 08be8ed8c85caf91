# SPDX-License-Identifier: MIT
import unittest

from support import main, needs_uring, program, run, simulations

ONE_WORKER = """\
running kilometre 1
running kilometre 2
they are loose: tying
tied
running kilometre 3
running kilometre 4
they are loose: tying
tied
running kilometre 5
running kilometre 6
they are loose: tying
tied
at most 1 at a time
"""


class Concurrent(unittest.TestCase):
    def test_one_worker_stops_running_to_tie(self):
        outputs = simulations("--effort", "1", seeds=range(1, 31))
        self.assertIn(ONE_WORKER, outputs)
        for output in outputs:  # when it looks at the shoes is left to chance, but not that it stands still to tie them
            self.assertNotIn("tying\n", output.replace("they are loose: tying\ntied\n", ""))
            self.assertTrue(output.endswith("at most 1 at a time\n"))

    def test_a_number_of_workers_that_makes_no_sense_is_refused(self):
        for bad in (["--workers"], ["--workers", "0"], ["--workers", "3"], ["--workers", "2x"], ["--effort", "0"]):
            with self.subTest(bad):
                status, output, errors = run(program(), *bad)
                self.assertEqual((status, output), (2, ""))
                self.assertIn("usage: ", errors)


@needs_uring
class OnTheKernel(unittest.TestCase):
    def test_one_worker_does_one_thing_at_a_time(self):
        self.assertEqual(run(program()), (0, ONE_WORKER, ""))

    def test_two_workers_do_both_at_once(self):
        status, output, errors = run(program(), "--workers", "2")
        self.assertEqual((status, errors), (0, ""))
        lines = output.splitlines()
        self.assertEqual(lines[-1], "at most 2 at a time")
        self.assertEqual([line for line in lines if "running" in line], [f"running kilometre {i}" for i in range(1, 7)])
        self.assertEqual(lines.count("they are loose: tying"), lines.count("tied"))


if __name__ == "__main__":
    main()
