# SPDX-License-Identifier: MIT
import unittest

from support import main, needs_uring, program, run

WANTED = """\
a page: data fetched successfully!
no URL: an error occurred: not a URL
no such host: an error occurred: not found
nobody listens: an error occurred: Connection refused
no such page: an error occurred: not found
the server fails: an error occurred: the answer is no good
the server hangs up: an error occurred: the answer is no good
the page again: data fetched successfully!
"""


@needs_uring
class FetchErrors(unittest.TestCase):
    def test_each_error_is_told_and_none_is_in_the_way_of_the_next(self):
        status, output, errors = run(program())
        output = output.replace("the name service does not answer", "not found")  # as on a machine without a network
        self.assertEqual((status, output, errors), (0, WANTED, ""))


if __name__ == "__main__":
    main()
