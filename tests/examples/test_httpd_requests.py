# SPDX-License-Identifier: MIT
"""What httpd answers to requests, good and bad."""
import re
import shutil
import subprocess
import threading
import time
import unittest
from email.utils import parsedate_to_datetime

from support import PATIENCE, Server, main, needs_uring, program, request, sort_text, wait_for

HELLO = b"Hello, World!\n"


class WithServer(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(program(), *cls.options)

    @classmethod
    def tearDownClass(cls):
        status, errors = cls.server.stop(), cls.server.error_text()
        cls.server.close()
        if (status, errors) != (0, ""):
            raise AssertionError(f"httpd ended with {status}: {errors}")

    def raw(self, data):
        """Sends `data` and the end of the stream; returns the statuses of the responses up to the end of the connection."""
        with self.server.connect() as client:
            client.send(data)
            client.socket.shutdown(1)
            return statuses(client.rest())


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [^\r\n]+\r\n", answer)]


@needs_uring
class Answers(WithServer):
    def test_the_greeting(self):
        with self.server.connect() as client:
            response = client.get("/")
        self.assertEqual((response.status, response.body), (200, HELLO))
        self.assertEqual(response.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(response.headers["content-length"], str(len(HELLO)))
        self.assertEqual(response.headers["server"], "whorl")

    def test_the_date_is_now_and_moves_on(self):
        with self.server.connect() as client:
            before = int(time.time())
            first = parsedate_to_datetime(client.get("/").headers["date"]).timestamp()
            self.assertTrue(before - 1 <= first <= time.time())
            wait_for(lambda: parsedate_to_datetime(client.get("/").headers["date"]).timestamp() > first, "a later date")

    def test_head_is_get_without_the_content(self):
        with self.server.connect() as client:
            for path in ("/", "/sort?n=10", "/missing"):
                with self.subTest(path):
                    got, head = client.get(path), client.get(path, method="HEAD")
                    self.assertEqual(head.status, got.status)
                    del got.headers["date"], head.headers["date"]
                    self.assertEqual(head.headers, got.headers)

    def test_sort_sorts(self):
        with self.server.connect() as client:
            for n in (1, 2, 3, 1000, 4096, 4097, 20000, 100000):
                with self.subTest(n):
                    self.assertEqual(client.get(f"/sort?n={n}").body, sort_text(n))

    def test_sort_refuses_what_it_cannot_sort(self):
        with self.server.connect() as client:
            for query in ("", "?", "?n", "?n=", "?n=0", "?n=100001", "?n=-1", "?n=1e3", "?n=99999999999999999999999", "?m=5",
                          "?n=5x", "?nn=5", "?n=+5", "?n=%35"):
                with self.subTest(query):
                    response = client.get("/sort" + query)
                    self.assertEqual(response.status, 400)
                    self.assertIn(b"100000", response.body)
            self.assertEqual(client.get("/sort?m=1&n=3&n=4").body, sort_text(3))

    def test_the_target_may_be_written_in_several_ways(self):
        with self.server.connect() as client:
            for target in ("/?", "/?a=b", "/#top", "/%3f"[:1], "http://test", "http://test/", "HTTP://test?x"):
                with self.subTest(target):
                    self.assertEqual(client.get(target).body, HELLO)
            self.assertEqual(client.get("/%73%6Frt?n=7").body, sort_text(7))
            self.assertEqual(client.get("http://test/sort?n=7").body, sort_text(7))

    def test_without_a_root_there_are_no_files(self):
        with self.server.connect() as client:
            for path in ("/etc/passwd", "/index.html", "/..", "/sort/x"):
                with self.subTest(path):
                    self.assertEqual(client.get(path).status, 404)

    def test_only_get_and_head_are_allowed(self):
        with self.server.connect() as client:
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"):
                with self.subTest(method):
                    response = client.get("/" if method != "CONNECT" else "test:80", method=method)
                    self.assertEqual(response.status, 405)
                    self.assertEqual(response.headers["allow"], "GET, HEAD")

    def test_curl_agrees(self):
        if shutil.which("curl") is None:
            self.skipTest("curl is not installed")
        url = f"http://127.0.0.1:{self.server.port}"

        def curl(*arguments):
            done = subprocess.run(["curl", "-sS", "--max-time", str(int(PATIENCE)), "-w", "%{http_code} ", *arguments],
                                  capture_output=True, timeout=PATIENCE, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            return done.stdout

        self.assertEqual(curl(f"{url}/"), HELLO + b"200 ")
        self.assertEqual(curl("-0", f"{url}/"), HELLO + b"200 ")
        self.assertEqual(curl("--http2", f"{url}/"), HELLO + b"200 ")  # an upgrade that is not taken up
        self.assertEqual(curl(f"{url}/sort?n=9", f"{url}/"), sort_text(9) + b"200 " + HELLO + b"200 ")
        self.assertTrue(curl("-I", f"{url}/").endswith(b"\r\n\r\n200 "))
        self.assertTrue(curl("-d", "form=data", f"{url}/").endswith(b"405 "))
        self.assertTrue(curl("-H", "Expect: 100-continue", "-d", "form=data", f"{url}/").endswith(b"405 "))
        self.assertTrue(curl("-H", "Transfer-Encoding: chunked", "-d", "form=data", f"{url}/").endswith(b"405 "))


@needs_uring
class Connections(WithServer):
    def test_http_1_1_stays_and_http_1_0_leaves(self):
        for version, headers, stays in (
                ("HTTP/1.1", [], True),
                ("HTTP/1.1", ["Connection: close"], False),
                ("HTTP/1.1", ["Connection: TE, Close"], False),
                ("HTTP/1.1", ["Connection: keep-alive"], True),
                ("HTTP/1.0", [], False),
                ("HTTP/1.0", ["Connection: keep-alive"], True),
                ("HTTP/1.0", ["Connection: close"], False)):
            for path in ("/", "/sort?n=5", "/missing"):
                with self.subTest((version, headers, path)), self.server.connect() as client:
                    client.send(request(path, *headers, version=version))
                    response = client.response()
                    if stays:
                        self.assertEqual(response.headers.get("connection"), "keep-alive" if version == "HTTP/1.0" else None)
                        self.assertEqual(client.get("/").body, HELLO)
                    else:
                        self.assertEqual(response.headers["connection"], "close")
                        self.assertTrue(client.ended())

    def test_what_follows_the_last_request_is_not_answered(self):
        with self.server.connect() as client:
            client.send(request("/", "Connection: close") + request("/") * 10)
            self.assertEqual(statuses(client.rest()), [200])

    def test_thousands_of_pipelined_requests_are_answered_in_order(self):
        count = 3000
        expected = {n: sort_text(n) for n in range(1, 14)}

        def path(i):
            return "/" if i % 3 == 0 else "/missing" if i % 3 == 1 else f"/sort?n={i % 13 + 1}"

        with self.server.connect() as client:
            pipeline = b"".join(request(path(i)) for i in range(count))
            sender = threading.Thread(target=client.send, args=(pipeline,))
            sender.start()
            for i in range(count):
                response = client.response()
                wanted = HELLO if i % 3 == 0 else b"404 Not Found\n" if i % 3 == 1 else expected[i % 13 + 1]
                self.assertEqual((i, response.body), (i, wanted))
            sender.join()

    def test_a_pipelined_batch_comes_back_whole(self):
        # All 16 are in one segment, so the 16 answers are too, and one recv gets them.
        with self.server.connect() as client:
            client.send(request("/") * 16)
            data = client.socket.recv(65536)
            self.assertEqual(statuses(data), [200] * 16)

    def test_empty_lines_before_a_request_do_not_count(self):
        self.assertEqual(self.raw(b"\r\n\r\n" + request("/") + b"\r\n" + request("/")), [200, 200])

    def test_many_connections_at_once(self):
        clients = [self.server.connect() for _ in range(300)]
        for client in clients:
            client.send(request("/") + request("/sort?n=2"))
        for client in clients:
            self.assertEqual(client.response().body, HELLO)
            self.assertEqual(client.response().body, sort_text(2))
            client.close()


SPLIT = [
    request("/"),
    request("/sort?n=3", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "Accept: */*"),
    request("/", version="HTTP/1.0"),
    request("/missing", "Connection: close"),
    request("/", "Content-Length: 5", method="POST") + b"hello" + request("/"),
    request("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n" + request("/sort?n=4"),
    request("/", method="NONESUCH"),
    request("/", version="HTTP/3.0"),
    b"rubbish\r\n\r\n",
]


@needs_uring
class Split(WithServer):
    options = ("--request", "3600")

    def answer(self, *pieces):
        """The answer to pieces that are received one by one, but for the dates in it."""
        with self.server.connect() as client:
            for i, piece in enumerate(pieces):
                if i > 0:
                    # 0: the server has taken the piece before; None: it has already closed.
                    wait_for(lambda: not self.server.unread(client), "the server has received the first piece")
                try:
                    client.send(piece)
                except (BrokenPipeError, ConnectionResetError):
                    break
            client.socket.shutdown(1)
            return re.sub(rb"Date: [^\r]*", b"", client.rest())

    def test_a_request_split_at_any_byte_is_answered_as_if_it_were_not(self):
        for whole in SPLIT:
            expected = self.answer(whole)
            self.assertTrue(expected.startswith(b"HTTP/1.1 "))
            for at in range(1, len(whole)):
                with self.subTest((whole, at)):
                    self.assertEqual(self.answer(whole[:at], whole[at:]), expected)

    def test_a_request_that_comes_byte_by_byte_is_answered_the_same(self):
        for whole in SPLIT:
            with self.subTest(whole):
                self.assertEqual(self.answer(*[whole[i:i + 1] for i in range(len(whole))]), self.answer(whole))


@needs_uring
class Malformed(WithServer):
    def test_they_are_refused_with_the_status_that_fits_and_the_connection_ends(self):
        host = "Host: test\r\n"
        for status, text in (
                (400, "\0"),
                (400, "rubbish\r\n\r\n"),
                (400, "\x16\x03\x01\x02\x00\x01\x00\r\n"),  # TLS
                (400, "GET\r\n\r\n"),
                (400, "GET /\r\n\r\n"),
                (400, f"get / HTTP/1.1\r\n{host}\r\n"),
                (400, f"GET / HTTP/1.1 \r\n{host}\r\n"),
                (400, f"GET /a b HTTP/1.1\r\n{host}\r\n"),
                (400, f"GET no-path HTTP/1.1\r\n{host}\r\n"),
                (400, f"GET http:/path HTTP/1.1\r\n{host}\r\n"),
                (400, f"GET /\x01 HTTP/1.1\r\n{host}\r\n"),
                (400, f"GET / FTP/1.1\r\n{host}\r\n"),
                (400, f"GET / RTSP/1.0\r\n{host}\r\n"),
                (400, f"GET / HTTP/1.x\r\n{host}\r\n"),
                (400, "GET / HTTP/1.1\r\n\r\n"),
                (400, f"GET / HTTP/1.1\r\n{host}{host}\r\n"),
                (400, f"GET / HTTP/1.0\r\n{host}{host}\r\n"),
                (400, f"GET / HTTP/1.1\r\n{host}no colon\r\n\r\n"),
                (400, f"GET / HTTP/1.1\r\n{host}Space : x\r\n\r\n"),
                (400, f"GET / HTTP/1.1\r\n{host}Nul: \0\r\n\r\n"),
                (400, f"GET / HTTP/1.1\r\n{host}: empty\r\n\r\n"),
                (400, f"GET / HTTP/1.1\r\n{host}Bare: CR\rX: y\r\n\r\n"),
                (400, f"POST / HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),
                (400, f"POST / HTTP/1.1\r\n{host}Content-Length: 1x\r\n\r\n"),
                (400, f"POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
                (400, f"POST / HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n"),
                (400, f"POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
                (400, f"POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"),
                (400, f"POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
                (501, f"NONESUCH / HTTP/1.1\r\n{host}\r\n"),
                (501, f"GETS / HTTP/1.1\r\n{host}\r\n"),
                (505, f"GET / HTTP/2.0\r\n{host}\r\n"),
                (505, f"GET / HTTP/9.9\r\n{host}\r\n")):
            with self.subTest(text):
                data = text.encode("latin-1")
                self.assertEqual(self.raw(data), [status])
                # The requests before it are answered, those after it are not.
                self.assertEqual(self.raw(request("/") + data + request("/") * 3), [200, status])

    def test_a_target_that_is_no_path_is_refused_and_the_connection_goes_on(self):
        with self.server.connect() as client:
            for target in ("*", "/%", "/%2", "/%zz", "/a%0", "/%00", "/etc%00.html", "/%%35%63"):
                with self.subTest(target):
                    self.assertEqual(client.get(target).status, 400)
            self.assertEqual(client.get("/").body, HELLO)


@needs_uring
class Limits(WithServer):
    def test_a_head_that_is_too_large(self):
        for status, head in (
                (431, request("/", "X: " + "a" * 9000)),
                (431, request("/", *[f"X-{i}: {i}" for i in range(2000)])),
                (431, b"GET / HTTP/1.1\r\nHost: test\r\n" + b"a" * 100000),
                (414, request("/" + "a" * 9000)),
                (414, b"GET /" + b"a" * 100000)):
            with self.subTest(head[:40]):
                self.assertEqual(self.raw(head), [status])
                self.assertEqual(self.raw(request("/") * 5 + head), [200] * 5 + [status])

    def test_the_largest_head_there_may_be(self):
        def head(size):
            return request("/", "X: " + "a" * (size - len(request("/", "X: "))))

        self.assertEqual(len(head(8192)), 8192)
        self.assertEqual(self.raw(head(8192) * 3), [200] * 3)
        self.assertEqual(self.raw(head(8193)), [431])

    def test_a_body_that_is_too_large(self):
        with self.server.connect() as client:
            client.send(request("/", "Content-Length: 65537", method="POST"))
            response = client.response()
            self.assertEqual((response.status, response.headers["connection"]), (413, "close"))
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        self.assertEqual(self.raw(request("/", "Transfer-Encoding: chunked", method="POST") + chunk * 17 + b"0\r\n\r\n"), [413])

    def test_the_answer_is_not_lost_though_the_client_sends_on(self):
        # Without a lingering close a reset would overtake it.
        with self.server.connect() as client:
            sender = threading.Thread(target=lambda: try_send(client, 3000000))
            client.send(request("/", "Content-Length: 3000000", method="POST"))
            sender.start()
            self.assertEqual(client.response().status, 413)
            sender.join()

    def test_a_body_that_nobody_wants_is_skipped(self):
        with self.server.connect() as client:
            client.send(request("/", "Content-Length: 65536", method="POST") + b"x" * 65536 + request("/"))
            self.assertEqual(client.response().status, 405)
            self.assertEqual(client.response().body, HELLO)
            client.send(request("/", "Content-Length: 3") + b"get" + request("/sort?n=2"))
            self.assertEqual(client.response().body, HELLO)
            self.assertEqual(client.response().body, sort_text(2))

    def test_a_client_that_waits_for_100_continue_gets_it(self):
        with self.server.connect() as client:
            client.send(request("/", "Content-Length: 3", "Expect: 100-continue", method="POST"))
            self.assertEqual(client.response().status, 100)
            client.send(b"abc")
            self.assertEqual(client.response().status, 405)
            client.send(request("/", "Content-Length: 99999999", "Expect: 100-continue", method="POST"))
            self.assertEqual(client.response().status, 413)


def try_send(client, size):
    try:
        client.send(bytes(size))
    except OSError:
        pass  # the server had enough of it


if __name__ == "__main__":
    main()
