# SPDX-License-Identifier: MIT
"""Options and start-up errors, the same for echo and httpd."""
import os
import signal
import socket
import tempfile
import unittest

from support import Server, main, needs_uring, program, run


class Options(unittest.TestCase):
    """None of these gets as far as starting a runtime."""

    def test_help_goes_to_standard_output(self):
        status, output, errors = run(program(), "--help")
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(output.startswith("usage: "))
        for option in ("--port", "--host", "--workers"):
            self.assertIn(option, output)

    def test_an_unknown_flag_prints_the_usage_and_exits_with_2(self):
        for bad in (["--no-such-flag"], ["--port"], ["surplus"], ["-x"]):
            with self.subTest(bad):
                status, output, errors = run(program(), *bad)
                self.assertEqual((status, output), (2, ""))
                self.assertIn("usage: ", errors)

    def test_a_bad_number_is_named(self):
        for bad in (["--port", "65536"], ["--port", "-1"], ["--port", "http"], ["--port", ""], ["--workers", "0"],
                    ["--workers", "1025"], ["--workers", "2x"]):
            with self.subTest(bad):
                status, output, errors = run(program(), *bad)
                self.assertEqual((status, output), (2, ""))
                self.assertIn(bad[0], errors)
                self.assertIn("usage: ", errors)


class HttpdOptions(unittest.TestCase):
    def setUp(self):
        if os.path.basename(program()) != "httpd":
            self.skipTest("only httpd has these")

    def test_seconds_are_checked(self):
        for value in ("0", "-1", "soon", "1e9", "nan", ""):
            for option in ("--idle", "--request", "--grace"):
                with self.subTest([option, value]):
                    status, output, errors = run(program(), option, value)
                    self.assertEqual((status, output), (2, ""))
                    self.assertIn(option, errors)

    def test_a_root_that_is_not_there_is_named(self):
        with tempfile.NamedTemporaryFile() as file:
            for root, reason in (("/nonexistent/root", "No such file"), (file.name, "Not a directory")):
                with self.subTest(root):
                    status, output, errors = run(program(), "--port", "0", "--root", root)
                    self.assertEqual((status, output), (1, ""))
                    self.assertIn(root, errors)
                    self.assertIn(reason, errors)


@needs_uring
class Starting(unittest.TestCase):
    def test_a_port_in_use_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            status, output, errors = run(program(), "--port", port)
        self.assertEqual((status, output), (1, ""))
        self.assertIn(f"port {port}", errors)
        self.assertIn("Address already in use", errors)

    def test_a_host_that_is_not_there_is_named(self):
        status, output, errors = run(program(), "--port", "0", "--host", "no-such-host.invalid")
        self.assertEqual((status, output), (1, ""))
        self.assertIn("no-such-host.invalid", errors)

    def test_an_address_of_another_machine_is_refused(self):
        status, output, errors = run(program(), "--port", "0", "--host", "192.0.2.1")
        self.assertEqual((status, output), (1, ""))
        self.assertIn("Cannot assign requested address", errors)

    def test_both_signals_end_it_with_status_0(self):
        for how in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(how), Server(program()) as server:
                self.assertEqual(server.stop(how), 0)
                self.assertEqual(server.error_text(), "")

    def test_a_name_is_as_good_as_an_address(self):
        try:
            socket.getaddrinfo("localhost", None)
        except socket.gaierror:
            self.skipTest("this machine does not know localhost: it has no /etc/hosts")
        with Server(program(), "--host", "localhost") as server:
            with socket.create_connection(("localhost", server.port)):
                pass
            self.assertEqual(server.host, "localhost")
            self.assertEqual(server.stop(), 0)

    def test_ipv6_is_spoken(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        with Server(program(), "--host", "::1") as server:
            with socket.create_connection(("::1", server.port)):
                pass
            self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    main()
