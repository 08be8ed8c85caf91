# SPDX-License-Identifier: MIT
"""500 users of the chat server in rooms of 50, on loopback: everybody hears everything, in the order in which each said it. The delivery
latency, which this client has its part in, is reported and not judged."""
import collections
import resource
import selectors
import socket
import time
import unittest

from support import PATIENCE, Server, main, needs_uring, program

USERS = 500
ROOMS = 10
ROUNDS = 4
PER_ROOM = USERS // ROOMS
ALONE = 100  # users who also say something while the others are silent


class Load:
    def __init__(self, server):
        self.selector = selectors.DefaultSelector()
        self.sockets = []
        self.buffers = []
        self.heard = [collections.defaultdict(list) for _ in range(USERS)]
        self.lines = [[] for _ in range(USERS)]
        self.latencies = []
        for i in range(USERS):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(f"user{i}\n/join room{i % ROOMS}\n".encode())
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ, i)
            self.sockets.append(connection)
            self.buffers.append(b"")

    def close(self):
        for connection in self.sockets:
            connection.close()
        self.selector.close()

    def hear(self, i, line, now):
        name, _, text = line.partition(": ")
        if line.startswith("* "):
            self.lines[i].append(line)
            return
        number, said = text.split()
        self.heard[i][name].append(int(number))
        self.latencies.append(now - int(said))

    def read_until(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"after {PATIENCE} s still not: {what}")
            for key, _ in self.selector.select(1):
                i = key.data
                data = key.fileobj.recv(65536)
                now = time.monotonic_ns()
                if not data:
                    raise AssertionError(f"user{i} was cut off")
                *lines, self.buffers[i] = (self.buffers[i] + data).split(b"\n")
                for line in lines:
                    self.hear(i, line.decode(), now)

    def everybody_is_there(self):
        return all(any(line.endswith(f" user{i} joined room{i % ROOMS}"[1:]) for line in self.lines[i]) for i in range(USERS))

    def say(self, i, number):
        self.sockets[i].sendall(f"{number} {time.monotonic_ns()}\n".encode())

    def hear_all(self, wanted):
        self.read_until(lambda: len(self.latencies) == wanted, f"{wanted} lines have come")

    def report(self, what):
        """Tells of the latencies since the last report."""
        latencies = sorted(self.latencies)
        self.latencies.clear()
        median, most, last = (latencies[int((len(latencies) - 1) * part)] / 1e6 for part in (0.5, 0.99, 1))
        print(f"# {what}: {len(latencies)} lines delivered after {median:.2f} ms (median), {most:.2f} ms (99 of 100), {last:.2f} ms (all)")


@needs_uring
class FiveHundred(unittest.TestCase):
    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * USERS
        if hard != resource.RLIM_INFINITY and hard < wanted:
            self.skipTest(f"only {hard} descriptors are to be had")
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    def test_everybody_hears_everything_in_order(self):
        with Server(program()) as server:
            load = Load(server)
            self.addCleanup(load.close)
            load.read_until(load.everybody_is_there, "all have joined")
            for i in range(0, USERS, USERS // ALONE):
                load.say(i, 0)
                load.hear_all((i // (USERS // ALONE) + 1) * PER_ROOM)
            load.report(f"{ALONE} users, one after the other")
            for number in range(1, ROUNDS + 1):
                for i in range(USERS):
                    load.say(i, number)
                load.hear_all(number * USERS * PER_ROOM)
            load.report(f"{USERS} users at once, {ROUNDS} times")
            for i in range(USERS):
                for j in range(i % ROOMS, USERS, ROOMS):
                    first = 0 if j % (USERS // ALONE) == 0 else 1
                    self.assertEqual(load.heard[i].pop(f"user{j}"), list(range(first, ROUNDS + 1)))
                self.assertEqual(load.heard[i], {})
            self.assertEqual(server.stop(), 0)
            self.assertEqual(server.process.stdout.read(), "0 users cut off\n")
            self.assertEqual(server.error_text(), "")


if __name__ == "__main__":
    main()
