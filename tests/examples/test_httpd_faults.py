# SPDX-License-Identifier: MIT
"""Clients that are slow, deaf, rude or too many."""
import os
import tempfile
import time
import unittest

from support import Server, main, needs_uring, program, request, sort_text, wait_for

HELLO = b"Hello, World!\n"


@needs_uring
class Slow(unittest.TestCase):
    def test_a_silent_connection_is_closed_after_the_idle_time(self):
        with Server(program(), "--idle", "0.3") as server:
            start = time.monotonic()
            with server.connect() as silent:
                self.assertTrue(silent.ended())
            self.assertGreaterEqual(time.monotonic() - start, 0.3)
            with server.connect() as client:
                self.assertEqual(client.get("/").body, HELLO)
                start = time.monotonic()
                self.assertEqual(client.get("/").body, HELLO)
                self.assertTrue(client.ended())
                self.assertGreaterEqual(time.monotonic() - start, 0.3)
            self.assertEqual(server.stop(), 0)

    def test_a_request_in_time_starts_the_idle_time_anew(self):
        with Server(program(), "--idle", "0.5") as server, server.connect() as client:
            start = time.monotonic()
            while time.monotonic() - start < 1.2:
                self.assertEqual(client.get("/").body, HELLO)
                self.assertFalse(client.readable(0.1))

    def test_a_request_that_comes_byte_by_byte_is_cut_off(self):
        # However lively the client seems: the request as a whole has a limit.
        drip = request("/", "X: " + "a" * 100000)
        with Server(program(), "--request", "0.5", "--idle", "30") as server:
            for body in (b"", request("/", "Content-Length: 60000", method="POST")):
                with self.subTest(body), server.connect() as client:
                    start = time.monotonic()
                    client.send(body)
                    sent = 0
                    while not client.readable(0.05):
                        client.send(drip[sent:sent + 1])
                        sent += 1
                    self.assertGreaterEqual(time.monotonic() - start, 0.5)
                    self.assertGreater(sent, 0)  # a slow machine gets no further
                    response = client.response()
                    self.assertEqual((response.status, response.headers["connection"]), (408, "close"))
                    self.assertTrue(client.ended())
            with server.connect() as client:
                self.assertEqual(client.get("/").body, HELLO)
            self.assertEqual(server.stop(), 0)

    def test_part_of_a_request_behind_whole_ones_has_the_limit_too(self):
        with Server(program(), "--request", "0.3", "--idle", "30") as server, server.connect() as client:
            client.send(request("/") * 3 + request("/")[:10])
            self.assertEqual([client.response().status for _ in range(4)], [200, 200, 200, 408])
            self.assertTrue(client.ended())

    def test_many_slow_clients_hinder_nobody(self):
        with Server(program(), "--request", "30") as server:
            slow = [server.connect() for _ in range(200)]
            for client in slow:
                client.send(request("/")[:20])
            with server.connect() as client:
                for n in range(1, 100):
                    self.assertEqual(client.get(f"/sort?n={n}").body, sort_text(n))
            for client in slow:
                client.send(request("/")[20:])
                self.assertEqual(client.response().body, HELLO)
                client.close()
            self.assertEqual(server.stop(), 0)


@needs_uring
class Deaf(unittest.TestCase):
    def test_a_client_that_never_reads_is_given_up(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "large"), "wb") as file:
                file.truncate(100000000)
            with Server(program(), "--idle", "0.5", "--root", root) as server:
                with server.connect(receive_buffer=4096) as deaf:
                    deaf.send(request("/large"))
                    wait_for(lambda: server.clients() == 2, "the connection and the file are open")
                    with server.connect() as client:
                        self.assertEqual(client.get("/").body, HELLO)
                        client.send(request("/", "Connection: close"))
                        self.assertEqual(client.response().body, HELLO)
                    wait_for(lambda: server.clients() == 0, "both are closed")
                self.assertEqual(server.stop(), 0)

    def test_a_client_that_only_asks_is_given_up(self):
        with Server(program(), "--idle", "0.5") as server:
            with server.connect(receive_buffer=4096) as deaf:
                deaf.socket.settimeout(0.2)
                with self.assertRaises(OSError):  # a timeout when everything is full, then a reset
                    while True:
                        deaf.send(request("/") * 100)
                wait_for(lambda: server.clients() == 0, "the connection is closed")
            self.assertEqual(server.stop(), 0)

    def test_a_slow_reader_gets_all_of_it(self):
        size = 3000000
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "large"), "wb") as file:
                file.write(os.urandom(size))
            with open(os.path.join(root, "large"), "rb") as file:
                content = file.read()
            with Server(program(), "--idle", "1", "--root", root) as server, server.connect(receive_buffer=4096) as slow:
                slow.send(request("/large"))
                time.sleep(0.2)  # slow, that is what this is about
                self.assertEqual(slow.response().body, content)
                self.assertEqual(server.stop(), 0)


@needs_uring
class Rude(unittest.TestCase):
    def test_resets_at_any_moment_leave_nothing_behind(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "large"), "wb") as file:
                file.truncate(20000000)
            with Server(program(), "--root", root) as server:
                for data in (b"", b"GET", request("/"), request("/") * 500, request("/large"), request("/sort?n=100000"),
                             request("/", "Content-Length: 100", method="POST") + b"x", b"rubbish\r\n\r\n"):
                    for _ in range(20):
                        client = server.connect()
                        client.send(data)
                        client.reset()
                wait_for(lambda: server.clients() == 0, "no descriptor is left")
                with server.connect() as client:
                    self.assertEqual(client.get("/").body, HELLO)
                self.assertEqual(server.stop(), 0)
                self.assertEqual(server.error_text(), "")

    def test_a_reset_in_the_middle_of_an_answer(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "large"), "wb") as file:
                file.truncate(20000000)
            with Server(program(), "--root", root) as server:
                for _ in range(20):
                    client = server.connect(receive_buffer=4096)
                    client.send(request("/large"))
                    self.assertTrue(client.readable(60))
                    client.reset()
                wait_for(lambda: server.clients() == 0, "no descriptor is left")
                self.assertEqual(server.stop(), 0)


@needs_uring
class TooMany(unittest.TestCase):
    LIMIT = 48

    def test_it_serves_again_once_descriptors_are_free(self):
        with Server(program(), descriptors=self.LIMIT) as server:
            clients = [server.connect() for _ in range(2 * self.LIMIT)]
            wait_for(lambda: len(server.descriptors()) == self.LIMIT, "all descriptors in use")
            for client in clients:
                client.send(request("/"))
            while clients:
                served = wait_for(lambda: [client for client in clients if client.readable(0)], "somebody is served")
                for client in served:
                    self.assertEqual(client.response().body, HELLO)
                    client.close()
                clients = [client for client in clients if client not in served]
            self.assertEqual(server.stop(), 0)

    def test_a_file_that_cannot_be_opened_for_want_of_descriptors_is_no_404(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "file"), "wb") as file:
                file.write(b"content")
            with Server(program(), "--root", root, descriptors=self.LIMIT) as server:
                clients = [server.connect() for _ in range(2 * self.LIMIT)]
                wait_for(lambda: len(server.descriptors()) == self.LIMIT, "all descriptors in use")
                served = clients[0]
                self.assertEqual(served.get("/file").status, 503)
                for client in clients[1:]:
                    client.close()
                wait_for(lambda: server.clients() == 1, "descriptors are free")
                self.assertEqual(served.get("/file").body, b"content")
                self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    main()
