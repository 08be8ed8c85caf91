# SPDX-License-Identifier: MIT
import os
import random
import threading
import unittest

from support import Server, main, needs_uring, program, wait_for


def echo(client, data):
    """Sends `data` while receiving as much, and returns what came."""
    sender = threading.Thread(target=client.send, args=(data,))
    sender.start()
    received = bytearray()
    while len(received) < len(data):
        piece = client.socket.recv(65536)
        if not piece:
            break
        received += piece
    sender.join()
    return bytes(received)


@needs_uring
class Echo(unittest.TestCase):
    def test_every_connection_gets_back_its_own_bytes(self):
        with Server(program()) as server:
            clients = [server.connect() for _ in range(20)]
            sent = [os.urandom(random.Random(i).randrange(1, 300000)) for i in range(20)]
            received = [None] * 20

            def talk(i):
                received[i] = echo(clients[i], sent[i])

            threads = [threading.Thread(target=talk, args=(i,)) for i in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for client in clients:
                client.close()
            self.assertEqual(received, sent)
            self.assertEqual(server.stop(), 0)

    def test_the_end_of_the_stream_is_answered_with_the_end(self):
        with Server(program()) as server, server.connect() as client:
            client.send(b"last words")
            client.socket.shutdown(1)
            self.assertEqual(client.rest(), b"last words")

    def test_resets_leave_nothing_behind(self):
        with Server(program()) as server:
            for _ in range(50):
                client = server.connect()
                client.send(os.urandom(100000))
                client.reset()
            wait_for(lambda: server.clients() == 0, "no descriptor is left")
            with server.connect() as client:
                self.assertEqual(echo(client, b"still there"), b"still there")
            self.assertEqual(server.stop(), 0)

    def test_a_client_that_does_not_read_hinders_nobody(self):
        with Server(program()) as server, server.connect(receive_buffer=4096) as deaf:
            deaf.socket.setblocking(False)
            chunk = bytes(65536)
            # Until the server cannot send any more and so does not receive any more either.
            stuck = 0
            while stuck < 20:
                try:
                    deaf.socket.send(chunk)
                    stuck = 0
                except BlockingIOError:
                    stuck += 1
                    with server.connect() as client:
                        self.assertEqual(echo(client, b"hello"), b"hello")
            self.assertEqual(server.stop(), 0)

    def test_it_serves_again_once_descriptors_are_free(self):
        limit = 48
        with Server(program(), descriptors=limit) as server:
            clients = [server.connect() for _ in range(2 * limit)]
            wait_for(lambda: len(server.descriptors()) == limit, "all descriptors in use")
            for client in clients:
                client.send(b"x")
            while clients:
                served = wait_for(lambda: [client for client in clients if client.readable(0)], "somebody is served")
                for client in served:
                    self.assertEqual(client.socket.recv(1), b"x")
                    client.close()
                clients = [client for client in clients if client not in served]
            self.assertEqual(server.stop(), 0)

    def test_stopping_ends_connections(self):
        with Server(program()) as server:
            clients = [server.connect() for _ in range(10)]
            for client in clients:
                self.assertEqual(echo(client, b"here"), b"here")
            self.assertEqual(server.stop(), 0)
            for client in clients:
                self.assertTrue(client.ended())
                client.close()


if __name__ == "__main__":
    main()
