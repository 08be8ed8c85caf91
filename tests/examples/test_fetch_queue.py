# SPDX-License-Identifier: MIT
import re
import unittest

from support import main, needs_uring, program, run


@needs_uring
class FetchQueue(unittest.TestCase):
    def test_four_workers_fetch_each_page_once(self):
        for way in ("sentinels", "close"):
            with self.subTest(way):
                status, output, errors = run(program(), way)
                self.assertEqual((status, errors), (0, ""))
                *lines, last = output.splitlines()
                started = re.findall(r"Worker([1-4]) started getting /(page\d+)\n", output)
                finished = re.findall(r"Worker([1-4]) finished getting /(page\d+)\n", output)
                self.assertEqual(sorted(started), sorted(finished))
                self.assertEqual(sorted(page for _, page in started), sorted(f"page{i}" for i in range(1, 13)))
                self.assertEqual(len(lines), 24)
                for worker in "1234":  # each of them finishes one before it starts the next
                    whose = [line.split()[1] for line in lines if line.startswith(f"Worker{worker} ")]
                    self.assertEqual(whose, ["started", "finished"] * (len(whose) // 2))
                self.assertRegex(last, r"^12 pages, at most [1-4] at a time$")


if __name__ == "__main__":
    main()
