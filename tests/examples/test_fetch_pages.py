# SPDX-License-Identifier: MIT
import unittest

from support import main, needs_uring, program, run

PAGES = """\
/        14 bytes: Example Domain
/news    16 bytes: Nothing happened
/about    8 bytes: About us
/contact 11 bytes: Write to us
/terms    7 bytes: Be nice
"""


@needs_uring
class FetchPages(unittest.TestCase):
    def test_each_way_gives_all_pages_in_order(self):
        for way in ("tasks", "gather", "map"):
            with self.subTest(way):
                self.assertEqual(run(program(), way), (0, PAGES, ""))


if __name__ == "__main__":
    main()
