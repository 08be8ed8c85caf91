# SPDX-License-Identifier: MIT
"""What the tutorial prints for each version, to the letter; where it is left to chance here, the tutorial's is among what comes."""
import os
import unittest
import unittest.mock

from support import main, needs_uring, program, run, simulate, simulations

FIND = [f"finding nums in range {job}\n" for job in ("508000 divisible by 34113", "100052 divisible by 3210", "500 divisible by 3")]
DONE = [f"Done w/ nums in range {job}\n" for job in ("508000 divisible by 34113", "100052 divisible by 3210", "500 divisible by 3")]
SEQUENTIAL = "".join(find + done for find, done in zip(FIND, DONE))
YIELDING = "".join(FIND) + DONE[1] + DONE[2] + DONE[0]
RESULT = "[0, 34113, 68226, 102339, 136452, 170565, 204678, 238791, 272904, 307017, 341130, 375243, 409356, 443469, 477582]\n"
MANY = range(1, 41)


class FindDivisibles(unittest.TestCase):
    def begins_all_then_ends_the_long_one_last(self, lines):
        self.assertEqual(sorted(lines[:3]), sorted(FIND))
        self.assertEqual(sorted(lines[3:6]), sorted(DONE))
        self.assertEqual(lines[5], DONE[0])

    def test_sequential(self):
        self.assertEqual(simulations("sequential"), {SEQUENTIAL})

    def test_tasks_that_never_let_go_run_one_after_the_other(self):
        outputs = simulations("async", seeds=MANY)
        self.assertIn(SEQUENTIAL, outputs)
        for output in outputs:
            lines = output.splitlines(keepends=True)
            self.assertEqual([line.replace("finding", "Done w/") for line in lines[::2]], lines[1::2])
            self.assertEqual(sorted(lines[::2]), sorted(FIND))

    def test_with_a_sleep_the_long_one_ends_last(self):
        outputs = simulations("yield", workers=[1], seeds=MANY)
        self.assertIn(YIELDING, outputs)
        for output in outputs:
            self.begins_all_then_ends_the_long_one_last(output.splitlines(keepends=True))

    def test_results(self):
        for output in simulations("results", workers=[1]):
            lines = output.splitlines(keepends=True)
            self.begins_all_then_ends_the_long_one_last(lines)
            self.assertEqual(lines[6:], [RESULT])

    def test_a_main_that_forgets_to_wait_loses_nothing_and_is_told_so(self):
        status, output, errors = simulate("forgot")
        self.assertEqual(status, 0)
        self.begins_all_then_ends_the_long_one_last(output.splitlines(keepends=True))
        self.assertEqual(errors.count("was never joined: join it"), 3)
        self.assertEqual(errors.count("find_divisibles.c:"), 3)

    def test_or_it_loses_them_where_that_is_asked_for(self):
        """What asyncio does: they begin, and do not end. The first job is asked at its first sleep, so is each of the others."""
        status, output, errors = simulate("forgot", WHORL_EXIT="cancel")
        self.assertEqual(status, 0)
        self.assertEqual(sorted(output.splitlines(keepends=True)), sorted(FIND))
        self.assertEqual(errors.count("was never joined: join it"), 3)

    def test_the_full_script(self):
        wanted = "".join(FIND) + DONE[2] + DONE[1] + DONE[0] + RESULT  # 1, 3 and 11 sleeps
        self.assertIn(wanted, simulations("finally", workers=[1], seeds=MANY))
        for output in simulations("finally"):
            lines = output.splitlines(keepends=True)
            self.assertEqual(sorted(lines[:3]), sorted(FIND))
            self.assertEqual(lines[3:], [DONE[2], DONE[1], DONE[0], RESULT])

    def test_a_failure_ends_the_others_and_is_told(self):
        """Nothing is left either: under AddressSanitizer a leak fails the run."""
        for seed in MANY:
            status, output, errors = simulate("failure", seed=seed)
            self.assertEqual((status, errors), (1, "find_divisibles: Numerical argument out of domain\n"))
            self.assertIn("finding nums in range 100052 divisible by 0\n", output)
            self.assertNotIn(DONE[0], output)
            self.assertNotIn("[", output)


@needs_uring
class OnTheKernel(unittest.TestCase):
    def test_two_workers_finish_the_short_ones_while_the_long_one_computes(self):
        status, output, errors = run(program(), "parallel")
        self.assertEqual((status, errors), (0, ""))
        lines = output.splitlines(keepends=True)
        self.assertEqual(lines[-1], "Done w/ nums in range 50800012 divisible by 3411321\n")
        self.assertEqual(sorted(lines[:-1]), sorted(["finding nums in range 50800012 divisible by 3411321\n", *FIND[1:], *DONE[1:]]))

    def test_debug_mode_tells_of_the_one_that_keeps_its_worker(self):
        with unittest.mock.patch.dict(os.environ, WHORL_DEBUG="1", WHORL_SLICE_NS="1000000"):
            status, output, errors = run(program(), "parallel")
        self.assertEqual(status, 0)
        self.assertRegex(errors, r"spawned at \S*find_divisibles\.c:\d+\) has run on worker \d for more than 1 ms without letting others run")
        self.assertIn("call whorl_checkpoint in its loops", errors)
        self.assertEqual(len(output.splitlines()), 6)

    def test_and_of_those_that_nobody_waits_for(self):
        with unittest.mock.patch.dict(os.environ, WHORL_DEBUG="1"):
            status, output, errors = run(program(), "forgot")
        self.assertEqual((status, len(output.splitlines())), (0, 6))
        self.assertEqual(errors.count("was never joined: join it"), 3)

    def test_one_worker_runs_them_as_the_tutorial_says(self):
        status, output, errors = run(program(), "async")
        self.assertEqual((status, output, errors), (0, SEQUENTIAL, ""))


if __name__ == "__main__":
    main()
