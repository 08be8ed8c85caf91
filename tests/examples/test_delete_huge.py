# SPDX-License-Identifier: MIT
import os
import re
import tempfile
import unittest
import unittest.mock

from support import main, program, run, simulate, simulations, uring_refusal


class DeleteHuge(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(lambda: self.assertEqual(os.listdir(folder.name), []))
        variables = unittest.mock.patch.dict(os.environ, TMPDIR=folder.name)
        variables.start()
        self.addCleanup(variables.stop)

    def test_the_ticker_misses_nothing(self):
        """32 pauses of 10 ms, and a tick each 25 ms."""
        self.assertEqual(simulations(), {"deleted 2048 MiB in 32 slices; 12 ticks meanwhile\n"})

    def test_a_folder_that_is_not_there_is_named(self):
        status, output, errors = simulate(TMPDIR="/nonexistent")
        self.assertEqual((status, output), (1, ""))
        self.assertIn("/nonexistent/huge-", errors)
        self.assertIn("No such file", errors)

    @unittest.skipIf(uring_refusal(), "io_uring is refused here")
    def test_the_ticker_goes_on_in_real_time(self):
        status, output, errors = run(program())
        self.assertEqual((status, errors), (0, ""))
        ticks = re.fullmatch(r"deleted 2048 MiB in 32 slices; (\d+) ticks meanwhile\n", output)
        self.assertGreater(int(ticks[1]), 0)

    @unittest.skipIf(uring_refusal(), "io_uring is refused here")
    def test_at_once_by_a_thread_of_the_pool(self):
        status, output, errors = run(program(), "--at-once")
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(output, r"^deleted 2048 MiB in 1 slice; \d+ ticks meanwhile\n$")


if __name__ == "__main__":
    main()
