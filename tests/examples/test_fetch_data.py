# SPDX-License-Identifier: MIT
import unittest

from support import main, simulations


class FetchData(unittest.TestCase):
    def test_others_run_while_it_waits(self):
        self.assertEqual(simulations(), {"Start fetching...\ntick\ntick\ntick\nDone fetching!\nFetch data finished.\n"})


if __name__ == "__main__":
    main()
