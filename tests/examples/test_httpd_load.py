# SPDX-License-Identifier: MIT
"""A short run of wrk, the load generator: no errors, at many connections and pipelined. It judges no figures, they are bench/'s."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from support import PATIENCE, Server, main, needs_uring, program

PIPELINE = """
init = function(args)
    local requests = {}
    for i = 1, 16 do requests[i] = wrk.format() end
    pipeline = table.concat(requests)
end
request = function() return pipeline end
"""


@needs_uring
@unittest.skipIf(shutil.which("wrk") is None, "wrk is not installed")
class Load(unittest.TestCase):
    def load(self, connections, *options, path="/"):
        with Server(program()) as server:
            done = subprocess.run(
                ["wrk", "-t2", f"-c{connections}", "-d2s", *options, f"http://127.0.0.1:{server.port}{path}"],
                capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("Socket errors", done.stdout)
            self.assertNotIn("Non-2xx", done.stdout)
            requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
            print(f"\n{connections} connections {' '.join(options)} {path}: {requests} requests")
            self.assertGreater(requests, connections)
            self.assertEqual(server.stop(), 0)
            self.assertEqual(server.error_text(), "")

    def test_64_connections(self):
        self.load(64)

    @unittest.skipIf(os.environ.get("WHORL_TEST_SLOW", "1") != "1", "a sanitizer is too slow for so many in wrk's time limit")
    def test_512_connections(self):
        self.load(512)

    def test_64_connections_pipelined_by_16(self):
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(PIPELINE)
            script.flush()
            self.load(64, "-s", script.name)

    def test_64_connections_that_compute(self):
        self.load(64, path="/sort?n=2000")


if __name__ == "__main__":
    main()
