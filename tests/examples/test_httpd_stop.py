# SPDX-License-Identifier: MIT
"""How httpd ends: at once where nothing is in progress, after that where something is, and always with status 0."""
import os
import signal
import socket
import tempfile
import time
import unittest

from support import PATIENCE, Server, main, needs_uring, program, request, sort_text, wait_for

HELLO = b"Hello, World!\n"


@needs_uring
class Stop(unittest.TestCase):
    def test_idle_connections_are_closed_at_once(self):
        for how in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(how), Server(program(), "--grace", "60") as server:
                used, fresh = server.connect(), server.connect()
                self.assertEqual(used.get("/").body, HELLO)
                wait_for(lambda: server.clients() == 2, "both are accepted")
                start = time.monotonic()
                self.assertEqual(server.stop(how), 0)
                self.assertLess(time.monotonic() - start, 30)
                self.assertTrue(used.ended())
                self.assertTrue(fresh.ended())
                self.assertEqual(server.error_text(), "")
                used.close()
                fresh.close()

    def test_requests_in_progress_are_finished(self):
        size = 12000000
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "large"), "wb") as file:
                file.truncate(size)
            with Server(program(), "--grace", "60", "--root", root) as server:
                sorts = [server.connect() for _ in range(20)]
                slow = server.connect(receive_buffer=4096)
                slow.send(request("/large"))
                self.assertTrue(slow.readable(PATIENCE))
                for client in sorts:
                    client.send(request("/sort?n=100000") + request("/"))
                for client in sorts:
                    wait_for(lambda: not server.unread(client), "the requests are received")
                server.process.send_signal(signal.SIGINT)
                expected = sort_text(100000)
                for client in sorts:
                    self.assertEqual(client.response().body, expected)
                    self.assertEqual(client.response().body, HELLO)
                    self.assertTrue(client.ended())
                    client.close()
                self.assertEqual(len(slow.response().body), size)
                self.assertTrue(slow.ended())
                slow.close()
                self.assertEqual(server.process.wait(PATIENCE), 0)
                self.assertEqual(server.error_text(), "")

    def test_a_request_that_has_begun_may_be_completed(self):
        with Server(program(), "--grace", "60") as server:
            whole = request("/sort?n=5")
            with server.connect() as client:
                client.send(request("/") + whole[:15])
                self.assertEqual(client.response().body, HELLO)
                server.process.send_signal(signal.SIGTERM)
                wait_for(lambda: refused(server), "new connections are refused")
                client.send(whole[15:])
                response = client.response()
                self.assertEqual(response.body, sort_text(5))
                self.assertEqual(response.headers["connection"], "close")
                self.assertTrue(client.ended())
            self.assertEqual(server.process.wait(PATIENCE), 0)

    def test_the_grace_period_ends(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "large"), "wb") as file:
                file.truncate(100000000)
            with Server(program(), "--grace", "0.5", "--root", root) as server, server.connect(receive_buffer=4096) as deaf:
                deaf.send(request("/large"))
                self.assertTrue(deaf.readable(PATIENCE))
                start = time.monotonic()
                self.assertEqual(server.stop(), 0)
                self.assertGreaterEqual(time.monotonic() - start, 0.5)
                self.assertIn("cut off", server.error_text())

    def test_a_second_signal_ends_it_now(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "large"), "wb") as file:
                file.truncate(100000000)
            with Server(program(), "--grace", "3600", "--root", root) as server, server.connect(receive_buffer=4096) as deaf:
                deaf.send(request("/large"))
                self.assertTrue(deaf.readable(PATIENCE))
                server.process.send_signal(signal.SIGINT)
                wait_for(lambda: refused(server), "new connections are refused")
                self.assertEqual(server.stop(signal.SIGINT), 0)

    def test_under_load(self):
        with Server(program()) as server:
            clients = [server.connect() for _ in range(50)]
            for client in clients:
                client.send(request("/") * 50)
            self.assertEqual(server.stop(), 0)
            for client in clients:
                try:
                    answer = client.rest()
                except ConnectionResetError:
                    answer = b""  # it was not accepted any more
                self.assertEqual(answer.count(b"HTTP/1.1 200 OK\r\n"), answer.count(HELLO))
                client.close()


def refused(server):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.port)) != 0


if __name__ == "__main__":
    main()
