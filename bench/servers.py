# SPDX-License-Identifier: MIT
"""Servers to be measured: started on a free port, on one core if asked for, and ended by their process id."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_S = 10  # a server that does not listen by then never will
STOP_S = 10


class Failure(Exception):
    """What could not be measured, and why."""


def cores():
    """A core for the server and one for the client; the same one twice where there is no second."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)]


def on_core(core):
    """For Popen(preexec_fn=): the core the new process may use; None: any."""
    return None if core is None else lambda: os.sched_setaffinity(0, {core})


def cpu_ns(pid):
    """The CPU time of a process, in ns. The clock id is the one that clock_getcpuclockid(3) makes, which Python does not offer."""
    return time.clock_gettime_ns((~pid << 3) | 2)


class Server:
    """A program that prints "listening on ...:PORT". In a with statement it runs until the end of the block."""

    def __init__(self, argv, core=None):
        self.argv, self.core = [str(a) for a in argv], core

    def __enter__(self):
        try:
            self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, preexec_fn=on_core(self.core))
        except OSError as e:
            raise Failure(f"{self.argv[0]}: {e.strerror}") from e
        self.pid = self.process.pid
        try:
            self.port = self.read_port()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def read_port(self):
        said = b""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if not select.select([self.process.stdout], [], [], 0.1)[0]:
                continue
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                raise Failure(f"{self.argv[0]} ended with status {self.process.wait(STOP_S)}")
            said += part
            found = re.search(rb"listening on \S*:(\d+)[/\s]", said)
            if found:
                return int(found[1])
        raise Failure(f"{self.argv[0]} did not say within {START_S} s where it listens, but: {said.decode(errors='replace')!r}")

    def stop(self):
        """Asks it to end, and sees to it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"{self.argv[0]} did not end within {STOP_S} s of SIGTERM") from None
        finally:
            if self.process.stdout:
                self.process.stdout.close()

    def cpu_ns(self):
        return cpu_ns(self.pid)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx(Server):
    """nginx with two workers that answer every request from memory and log nothing."""

    def __init__(self, body, workers=2):
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if not self.program:
            raise Failure("nginx is not installed")
        super().__init__([self.program])
        # The text stands in a quoted string of the configuration; only its length has to be that of the other server.
        self.body, self.workers = re.sub(r"[^A-Za-z0-9 ,.!]", "x", body), workers

    def configuration(self, folder):
        temporary = "\n".join(f"    {part}_temp_path {folder}/{part};"
                              for part in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""daemon off;
worker_processes {self.workers};
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600;
    default_type text/plain;
{temporary}
    server {{
        listen 127.0.0.1:{self.port} reuseport backlog=4096;
        location / {{ return 200 "{self.body}"; }}
    }}
}}
"""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="whorl-nginx-")
        self.port = free_port()
        path = os.path.join(self.folder.name, "nginx.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(self.configuration(self.folder.name))
        self.process = subprocess.Popen([self.program, "-e", "stderr", "-p", self.folder.name, "-c", path])
        self.pid = self.process.pid
        try:
            self.wait_until_it_listens()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_until_it_listens(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                if len(self.children()) == self.workers:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise Failure("nginx did not start")

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as f:
            return [int(pid) for pid in f.read().split()]

    def cpu_ns(self):
        return sum(cpu_ns(pid) for pid in [self.pid, *self.children()])

    def stop(self):
        try:
            super().stop()
        finally:
            self.folder.cleanup()
