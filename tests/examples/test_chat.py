# SPDX-License-Identifier: MIT
"""What users of the chat server see. No time is measured: each waits for the lines that must come."""
import unittest

from support import Server, main, needs_uring, program, wait_for


class User:
    """A connection that has told its name and joined a room, unless they are None."""

    def __init__(self, server, name, room=None, **options):
        self.client = server.connect(**options)
        self.name = name
        if name is not None:
            self.say(name)
            self.expect(f"* welcome, {name}")
        if room is not None:
            self.say(f"/join {room}")
            self.expect(f"* {name} joined {room}")

    def say(self, text):
        self.client.send(text.encode() + b"\n")

    def line(self):
        """The next line; None: the server has closed."""
        buffer = self.client.buffer
        while b"\n" not in buffer:
            try:
                data = self.client.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            buffer += data
        text, _, rest = bytes(buffer).partition(b"\n")
        buffer[:] = rest
        return text.decode()

    def expect(self, *wanted):
        for text in wanted:
            found = self.line()
            if found != text:
                raise AssertionError(f"{self.name} got {found!r} instead of {text!r}")

    def close(self):
        self.client.close()


@needs_uring
class Chat(unittest.TestCase):
    def setUp(self):
        self.server = Server(program())
        self.addCleanup(self.server.close)
        self.users = []

    def user(self, *names, **options):
        user = User(self.server, *names, **options)
        self.addCleanup(user.close)
        self.users.append(user)
        return user

    def tearDown(self):
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.server.error_text(), "")
        for user in self.users:  # who went first may still have been told to the others
            while (line := user.line()) is not None:
                self.assertRegex(line, r"^\* \w+ left$")

    def test_all_in_the_room_hear_it_and_nobody_else(self):
        ann, bob, eve = self.user("ann", "tea"), self.user("bob", "tea"), self.user("eve", "coffee")
        ann.expect("* bob joined tea")
        bob.say("hello")
        eve.say("anybody?")
        for user in (ann, bob):
            user.expect("bob: hello")
        eve.expect("eve: anybody?")
        ann.say("hi, bob\r")
        bob.expect("ann: hi, bob")
        ann.expect("ann: hi, bob")

    def test_who_leaves_is_missed(self):
        ann, bob, eve = self.user("ann", "tea"), self.user("bob", "tea"), self.user("eve", "tea")
        ann.expect("* bob joined tea", "* eve joined tea")
        bob.expect("* eve joined tea")
        bob.say("/join coffee")
        bob.expect("* bob joined coffee")
        ann.expect("* bob left")
        eve.say("/quit")
        ann.expect("* eve left")
        self.assertEqual(eve.line(), "* bob left")
        self.assertIsNone(eve.line())
        self.user("eve", "tea")  # the name is free again
        ann.expect("* eve joined tea")
        bob.client.reset()
        self.users.remove(bob)
        wait_for(lambda: self.server.clients() == 2, "bob is gone")

    def test_names(self):
        ann, bob = self.user("ann", "tea"), self.user("bob", "tea")
        bob.say("/names")
        bob.expect("* in tea: bob ann")
        again = self.user(None)
        again.say("ann")
        again.expect("* that name is taken")
        self.assertIsNone(again.line())
        for bad in ("", "a b", "x" * 32, "/join"):
            wrong = self.user(None)
            wrong.say(bad)
            wrong.expect("* a name is up to 31 letters, digits, - and _")
            self.assertIsNone(wrong.line())
        ann.say("still here")
        ann.expect("* bob joined tea", "ann: still here")
        bob.expect("ann: still here")

    def test_mistakes_are_told(self):
        ann = self.user("ann")
        ann.say("hello")
        ann.expect("* you are in no room: /join one")
        ann.say("/names")
        ann.expect("* you are in no room: /join one")
        ann.say("/join a b")
        ann.expect("* a room's name is up to 31 letters, digits, - and _")
        ann.say("/join tea")
        ann.expect("* ann joined tea")
        ann.say("x" * 511)
        ann.expect("ann: " + "x" * 511)
        ann.say("x" * 512)
        ann.expect("* a line is up to 511 bytes")
        self.assertIsNone(ann.line())

    def test_lines_may_come_in_pieces_and_together(self):
        ann = self.user("ann", "tea")
        for piece in ("o", "ne\ntw", "o\nthree\n"):
            ann.client.send(piece.encode())
        ann.expect("ann: one", "ann: two", "ann: three")


@needs_uring
class SlowReader(unittest.TestCase):
    def test_who_does_not_read_is_cut_off_and_the_others_lose_nothing(self):
        with Server(program()) as server:
            ann, bob = User(server, "ann", "tea"), User(server, "bob", "tea")
            deaf = User(server, "deaf", "tea", receive_buffer=4096)
            ann.expect("* bob joined tea", "* deaf joined tea")
            bob.expect("* deaf joined tea")
            told = set()  # who has heard that the deaf one left, which may be in between

            def expect(user, text):
                line = user.line()
                if line == "* deaf left":
                    told.add(user)
                    line = user.line()
                self.assertEqual(line, text)

            said = 0
            while server.clients() == 3:  # each line is read before the next, so that only the deaf one falls behind
                line = f"{said} " + "x" * 400
                ann.say(line)
                expect(bob, f"ann: {line}")
                expect(ann, f"ann: {line}")
                said += 1
                self.assertLess(said, 100000)
            for user in {ann, bob} - told:
                user.expect("* deaf left")
            ann.say("that was it")
            bob.say("that was it")
            self.assertEqual({bob.line(), bob.line()}, {"ann: that was it", "bob: that was it"})
            self.assertEqual(server.stop(), 0)
            self.assertEqual(server.process.stdout.read(), "1 users cut off\n")
            for user in (ann, bob, deaf):
                user.close()


if __name__ == "__main__":
    main()
