# SPDX-License-Identifier: MIT
"""Background jobs, and slow handlers. No time is measured: if a slow handler delayed the others, its release would never come."""
import http.client
import signal
import unittest

from support import PATIENCE, Server, main, needs_uring, program, wait_for


def ask(server, path, method="GET"):
    """Sends a request on a connection of its own, and returns that."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request(method, path)
    return connection


def answer(connection):
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def get(server, path, method="GET"):
    return answer(ask(server, path, method))


@needs_uring
class Jobs(unittest.TestCase):
    def test_202_at_once_and_the_work_goes_on(self):
        with Server(program()) as server:
            self.assertEqual(get(server, "/jobs?ms=0", "POST"), (202, "job 1\n"))
            self.assertEqual(get(server, "/jobs?ms=3600000", "POST"), (202, "job 2\n"))
            wait_for(lambda: get(server, "/jobs/1") == (200, "job 1 is done\n"), "the first is done")
            self.assertEqual(get(server, "/jobs/2"), (200, "job 2 is running\n"))
            self.assertEqual(server.stop(), 0)
            self.assertEqual(server.process.stdout.read(), "1 jobs cancelled\n")
            self.assertEqual(server.error_text(), "")

    def test_there_is_a_limit(self):
        with Server(program()) as server:
            for number in range(1, 1001):
                self.assertEqual(get(server, "/jobs?ms=3600000", "POST"), (202, f"job {number}\n"))
            self.assertEqual(get(server, "/jobs?ms=0", "POST")[0], 503)
            self.assertEqual(get(server, "/jobs/1000"), (200, "job 1000 is running\n"))
            self.assertEqual(server.stop(), 0)
            self.assertEqual(server.process.stdout.read(), "1000 jobs cancelled\n")

    def test_what_is_not_there_is_not_found(self):
        with Server(program()) as server:
            for path in ("/", "/jobs/1", "/jobs/0", "/jobs/-1", "/jobs", "/hell"):
                self.assertEqual(get(server, path)[0], 404)
            self.assertEqual(get(server, "/jobs?ms=-1", "POST")[0], 400)
            self.assertEqual(server.stop(signal.SIGINT), 0)


@needs_uring
class Slow(unittest.TestCase):
    def delays_nobody(self, path, count, workers):
        with Server(program(), "--workers", str(workers)) as server:
            self.assertEqual(get(server, "/hello"), (200, "hello\n"))
            slow = [ask(server, path) for _ in range(count)]
            wait_for(lambda: get(server, "/slow") == (200, f"{count}\n"), "all are at it")
            for _ in range(50):
                self.assertEqual(get(server, "/hello"), (200, "hello\n"))
            self.assertEqual(get(server, "/slow"), (200, f"{count}\n"))
            get(server, "/release")
            for connection in slow:
                self.assertEqual(answer(connection), (200, "released\n"))
            self.assertEqual(server.stop(), 0)

    def test_one_that_computes_delays_nobody(self):
        self.delays_nobody("/compute", 1, 2)

    def test_one_that_blocks_delays_nobody(self):
        self.delays_nobody("/block", 1, 2)

    def test_three_of_four_workers_may_be_kept(self):
        self.delays_nobody("/compute", 3, 4)
        self.delays_nobody("/block", 3, 4)

    def test_any_number_of_those_that_let_others_run(self):
        self.delays_nobody("/polite", 20, 2)
        self.delays_nobody("/polite", 5, 1)

    def test_any_number_of_those_that_block_threads_of_the_pool(self):
        self.delays_nobody("/pooled", 20, 1)

    def stopping_ends(self, *paths):
        with Server(program()) as server:
            slow = [ask(server, path) for path in paths]
            wait_for(lambda: get(server, "/slow") == (200, f"{len(paths)}\n"), "all are at it")
            self.assertEqual(server.stop(), 0)
            for connection in slow:
                connection.close()

    def test_stopping_ends_what_blocks(self):
        self.stopping_ends("/block")
        self.stopping_ends("/pooled", "/pooled")

    def test_stopping_ends_what_computes(self):
        self.stopping_ends("/compute")
        self.stopping_ends("/polite", "/polite", "/polite")

    def test_stopping_is_noticed_though_one_worker_is_blocked_and_the_other_computes(self):
        for _ in range(10):
            self.stopping_ends("/block", "/polite")


if __name__ == "__main__":
    main()
