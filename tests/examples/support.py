# SPDX-License-Identifier: MIT
"""What the tests of the examples share: starting a server on a free port, talking to it, waiting with a limit."""
import ctypes
import errno
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

# Far more than anything takes, also under a sanitizer on a busy machine: only a hang gets there.
PATIENCE = 60.0


def uring_refusal():
    """Why this machine does not let us use io_uring, or None when it does."""
    io_uring_setup = 425
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(io_uring_setup, 1, ctypes.byref(ctypes.create_string_buffer(120)))
    if fd >= 0:
        os.close(fd)
        return None
    code = ctypes.get_errno()
    return os.strerror(code) if code in (errno.EPERM, errno.ENOSYS, errno.EACCES) else None


def needs_uring(test_class):
    reason = uring_refusal()
    return unittest.skipIf(reason, f"io_uring is refused here: {reason}")(test_class)


def wait_for(condition, what, limit=PATIENCE):
    """Polls until `condition` holds and returns its value."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {limit} s still not: {what}")
        time.sleep(0.002)


class Server:
    """A running example, listening on a free port of 127.0.0.1 unless told otherwise."""

    COMMAND = ("--port", "0", "--workers", "2")

    def __init__(self, program, *options, descriptors=None):
        def limit():
            if descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.root = options[options.index("--root") + 1] if "--root" in options else "/nowhere"
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [program, *self.COMMAND, *options],
            stdout=subprocess.PIPE, stderr=self.errors, text=True, preexec_fn=limit)
        try:
            line = self._line()
            self.banner = line
            match = re.fullmatch(r"listening on (?:http://)?([^/]*):(\d+)/?\n", line)
            if match is None:
                raise AssertionError(f"not a ready line: {line!r}; stderr: {self.error_text()}")
            self.host = match[1]
            self.port = int(match[2])
        except BaseException:
            self.close()
            raise

    def _line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        if not ready:
            raise AssertionError("no line on standard output")
        return self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read()

    def stop(self, how=signal.SIGTERM):
        """Sends the signal and returns the exit status."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def connect(self, **options):
        return Client(self.port, **options)

    def descriptors(self):
        """What the server's descriptors stand for: "socket:[12345]", "/path/of/a/file" …"""
        directory = f"/proc/{self.process.pid}/fd"
        found = []
        for name in os.listdir(directory):
            try:
                found.append(os.readlink(os.path.join(directory, name)))
            except FileNotFoundError:
                pass  # closed meanwhile
        return found

    def clients(self):
        """How many connections and files it has open for clients."""
        kinds = [descriptor for descriptor in self.descriptors() if descriptor.startswith(("socket:", self.root + "/"))]
        return len(kinds) - 1  # the one it listens with

    def unread(self, client):
        """How many bytes from `client` the kernel still holds for the server; None: the server's end is closed, or the kernel does
        not tell. It is asked by sock_diag(7), as /proc/net/tcp takes milliseconds when there are many connections."""
        netlink_sock_diag, by_family, error, any_cookie = 4, 20, 2, b"\xff" * 8
        address = socket.inet_aton("127.0.0.1").ljust(16, b"\0")
        ports = struct.pack("!HH", self.port, client.socket.getsockname()[1])
        question = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        question += ports + address + address + bytes(4) + any_cookie
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink_sock_diag) as kernel:
            kernel.send(struct.pack("=IHHII", 16 + len(question), by_family, 1, 0, 0) + question)
            answer = kernel.recv(8192)
        if struct.unpack_from("=H", answer, 4)[0] == error:
            return None
        return struct.unpack_from("=I", answer, 72)[0]


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:60]!r}>"


class Client:
    """A raw connection, and a reader of HTTP responses on it."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes so that the peer gets a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def get(self, path, *headers, method="GET"):
        self.send(request(path, *headers, method=method))
        return self.response(head=method == "HEAD")

    def readable(self, seconds):
        return bool(self.buffer) or bool(select.select([self.socket], [], [], seconds)[0])

    def _fill(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def _take(self, size):
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def rest(self):
        """All until the server closes; a reset by it is an error."""
        while self._fill():
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def ended(self):
        """Waits for the end of the connection, nothing being left to read before it."""
        return self.rest() == b""

    def response(self, head=False):
        """The next response; `head`: it answers a HEAD request."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._fill():
                raise EOFError(f"connection closed after {bytes(self.buffer)!r}")
        lines = self._take(self.buffer.index(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self._take(4)
        version, status, _ = lines[0].split(" ", 2)
        if version != "HTTP/1.1":
            raise AssertionError(f"not a status line: {lines[0]!r}")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            if name.lower() in headers:
                raise AssertionError(f"{name} twice")
            headers[name.lower()] = value
        status = int(status)
        length = 0 if head or status in (100, 304) else int(headers["content-length"])
        while len(self.buffer) < length:
            if not self._fill():
                raise EOFError(f"connection closed {length - len(self.buffer)} bytes too early")
        return Response(status, headers, self._take(length))


def request(path, *headers, method="GET", version="HTTP/1.1"):
    lines = [f"{method} {path} {version}"]
    if version == "HTTP/1.1":
        lines.append("Host: test")
    lines.extend(headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def sort_text(n):
    """What /sort?n=N has to answer: the workload of examples/httpd/sort.h once more."""
    mask = (1 << 64) - 1
    state, numbers = n, []
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        numbers.append((z ^ (z >> 31)) >> 32)
    numbers.sort()
    checksum = sum((i + 1) * number for i, number in enumerate(numbers)) & mask
    return f"n={n} min={numbers[0]} median={numbers[n // 2]} max={numbers[-1]} checksum={checksum:016x}\n".encode()


def run(program, *options):
    """Runs a program to its end: status, standard output, standard error."""
    done = subprocess.run([program, *options], capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


def simulate(*options, workers=1, seed=1, **variables):
    """Runs the program on the null reactor, where waiting takes no time and the clock is exact: status, standard output and error."""
    env = {**os.environ, "WHORL_REACTOR": "null", "WHORL_WORKERS": str(workers), "WHORL_SEED": str(seed), **variables}
    done = subprocess.run([program(), *options], capture_output=True, text=True, timeout=PATIENCE, check=False, env=env)
    return done.returncode, done.stdout, done.stderr


def simulations(*options, workers=(1, 2, 4), seeds=range(1, 11)):
    """The distinct outputs of many such runs, each of which must end well and without a word on standard error."""
    outputs = set()
    for count in workers:
        for seed in seeds:
            status, output, errors = simulate(*options, workers=count, seed=seed)
            if (status, errors) != (0, ""):
                raise AssertionError(f"{options}, {count} workers, seed {seed}: status {status}, {errors}")
            outputs.add(output)
    return outputs


def main():
    """Runs the tests of the calling file; sys.argv[1] is the program. Status 77, which meson takes for skipped, when all were."""
    PROGRAM.append(sys.argv[1])
    result = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2, exit=False, warnings="ignore").result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun == len(result.skipped) else 0)


PROGRAM = []


def program():
    return PROGRAM[0]
