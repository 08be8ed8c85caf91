# SPDX-License-Identifier: MIT
"""A program of the tutorial prints what the tutorial says. usage: test_tutorial.py PROGRAM FILE-WITH-ITS-OUTPUT"""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from support import Server, main, needs_uring, program, run, simulations, uring_refusal  # noqa: E402

WITH_A_NETWORK = ("tutorial-echo", "tutorial-words")
WITH_OUTPUT = sys.argv.pop(2)


def name():
    return os.path.basename(program())


def output():
    with open(WITH_OUTPUT, encoding="utf-8") as file:
        return file.read()


class Tutorial(unittest.TestCase):
    def test_it_prints_what_the_text_says(self):
        if name() in WITH_A_NETWORK:
            self.skipTest("it needs a network, which the virtual clock's reactor has not")
        self.assertEqual(simulations(), {output()})

    def test_it_does_so_in_real_time(self):
        if name() not in ("tutorial-hello", "tutorial-result", "tutorial-primes", "tutorial-echo"):
            self.skipTest("it takes long, or is a server")
        if uring_refusal():
            self.skipTest("io_uring is refused here")
        self.assertEqual(run(program()), (0, output(), ""))


class WordServer(Server):
    """Takes its port as its only argument."""

    COMMAND = ("0",)


@needs_uring
class Words(unittest.TestCase):
    def test_the_conversation(self):
        if name() != "tutorial-words":
            self.skipTest("for the last one only")
        first, last = output().splitlines(keepends=True)
        with WordServer(program()) as server:
            self.assertRegex(server.banner, "^" + re.escape(first).replace("7000", r"\d+") + "$")
            with server.connect() as silent, server.connect() as client:
                client.send(b"to be or not to be\nthat is the question\n")
                client.socket.shutdown(1)
                self.assertEqual(client.rest(), b"6 words\n4 words\n")
                silent.send(b"x" * 4096)
                self.assertEqual(silent.rest(), b"")
            self.assertEqual(server.stop(), 0)
            self.assertEqual(server.process.stdout.read(), last)


if __name__ == "__main__":
    main()
