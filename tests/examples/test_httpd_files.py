# SPDX-License-Identifier: MIT
"""Files below --root, and nothing else."""
import os
import random
import tempfile
import threading
import time
import unittest
from email.utils import formatdate, parsedate_to_datetime

from support import Server, main, needs_uring, program, request, wait_for

OLD = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT


@needs_uring
class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        top = cls.directory.name
        cls.root = os.path.join(top, "root")
        os.makedirs(os.path.join(cls.root, "sub", "empty"))
        cls.content = {
            "hello.txt": b"a small file\n",
            "empty.css": b"",
            "no-extension": b"\x00\x01\x02",
            "a b%.html": b"<p>odd name</p>",
            "sub/index.html": b"<p>index</p>",
            "sub/UPPER.JSON": b"{}",
            "one.dir.js": b"x",
            # Around the sizes of the output buffer, and far beyond it.
            **{f"size-{n}": random.Random(n).randbytes(n) for n in (16000, 16383, 16384, 16385, 40000, 3000000)},
        }
        for name, content in cls.content.items():
            path = os.path.join(cls.root, name)
            with open(path, "wb") as file:
                file.write(content)
            os.utime(path, (OLD, OLD))
        with open(os.path.join(top, "secret"), "wb") as file:
            file.write(b"secret")
        os.symlink("../secret", os.path.join(cls.root, "out-relative"))
        os.symlink("/etc/passwd", os.path.join(cls.root, "out-absolute"))
        os.symlink("..", os.path.join(cls.root, "up"))
        os.symlink("hello.txt", os.path.join(cls.root, "inside"))
        os.symlink("loop", os.path.join(cls.root, "loop"))
        os.mkfifo(os.path.join(cls.root, "fifo"))
        cls.server = Server(program(), "--root", cls.root)

    @classmethod
    def tearDownClass(cls):
        status, errors = cls.server.stop(), cls.server.error_text()
        cls.server.close()
        cls.directory.cleanup()
        if (status, errors) != (0, ""):
            raise AssertionError(f"httpd ended with {status}: {errors}")

    def setUp(self):
        self.client = self.server.connect()

    def tearDown(self):
        self.client.close()

    def test_content_is_what_the_file_holds(self):
        for name, content in self.content.items():
            with self.subTest(name):
                response = self.client.get("/" + name.replace("%", "%25").replace(" ", "%20"))
                self.assertEqual(response.status, 200)
                self.assertEqual(response.body, content)
                self.assertEqual(response.headers["last-modified"], "Sun, 06 Nov 1994 08:49:37 GMT")

    def test_types_follow_the_extension(self):
        for path, wanted in (
                ("/hello.txt", "text/plain; charset=utf-8"), ("/empty.css", "text/css; charset=utf-8"),
                ("/no-extension", "application/octet-stream"), ("/a%20b%25.html", "text/html; charset=utf-8"),
                ("/sub/", "text/html; charset=utf-8"), ("/sub/UPPER.JSON", "application/json"),
                ("/one.dir.js", "text/javascript; charset=utf-8")):
            with self.subTest(path):
                self.assertEqual(self.client.get(path).headers["content-type"], wanted)

    def test_head_has_the_same_headers_and_no_content(self):
        for name in ("hello.txt", "empty.css", "size-3000000"):
            with self.subTest(name):
                head = self.client.get("/" + name, method="HEAD")
                self.assertEqual((head.status, head.headers["content-length"]), (200, str(len(self.content[name]))))
        self.assertEqual(self.client.get("/hello.txt").body, self.content["hello.txt"])

    def test_small_files_are_pipelined_and_large_ones_too(self):
        names = ["hello.txt", "size-40000", "empty.css", "size-16384", "sub/index.html"] * 20
        sender = threading.Thread(target=self.client.send, args=(b"".join(request("/" + name) for name in names),))
        sender.start()
        for name in names:
            self.assertEqual(self.client.response().body, self.content[name])
        sender.join()

    def test_a_directory_is_its_index(self):
        for path in ("/sub", "/sub/", "/sub//", "//sub/.", "/sub/index.html", "/sub/empty/..", "/sub/?x"):
            with self.subTest(path):
                self.assertEqual(self.client.get(path).body, self.content["sub/index.html"])
        self.assertEqual(self.client.get("/sub/empty/").status, 404)

    def test_the_root_itself_is_the_greeting(self):
        self.assertEqual(self.client.get("/").body, b"Hello, World!\n")

    def test_not_modified_since(self):
        def status(value, **options):
            return self.client.get("/hello.txt", f"If-Modified-Since: {value}", **options).status

        self.assertEqual(status(formatdate(OLD, usegmt=True)), 304)
        self.assertEqual(status(formatdate(OLD, usegmt=True), method="HEAD"), 304)
        self.assertEqual(status(formatdate(OLD + 1, usegmt=True)), 304)
        self.assertEqual(status(formatdate(OLD, usegmt=True) + "  "), 304)
        self.assertEqual(status("Sunday, 06-Nov-94 08:49:37 GMT"), 304)
        self.assertEqual(status("Sun Nov  6 08:49:37 1994"), 304)
        self.assertEqual(status(formatdate(OLD - 1, usegmt=True)), 200)
        for nonsense in ("yesterday", "", "0", "Sun, 06 Nov 1994", "Sun, 99 Nov 1994 08:49:37 GMT", "x" * 500):
            with self.subTest(nonsense):
                self.assertEqual(status(nonsense), 200)
        response = self.client.get("/hello.txt", f"If-Modified-Since: {formatdate(OLD, usegmt=True)}")
        self.assertNotIn("content-length", response.headers)
        self.assertEqual(response.headers["last-modified"], formatdate(OLD, usegmt=True))
        self.assertEqual(self.client.get("/hello.txt").body, self.content["hello.txt"])

    def test_a_date_in_the_future_is_not_told(self):
        path = os.path.join(self.root, "future")
        with open(path, "wb"):
            pass
        os.utime(path, (time.time() + 86400,) * 2)
        headers = self.client.get("/future").headers
        self.assertLessEqual(parsedate_to_datetime(headers["last-modified"]), parsedate_to_datetime(headers["date"]))

    def test_no_path_leads_out(self):
        for path in (
                "/../secret", "/..", "/../", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/%2E%2E%2Fsecret",
                "/sub/%2e%2e/%2e%2e/secret", "//..//secret", "/./../secret", "/../root/hello.txt", "//etc/passwd", "/%2fetc/passwd",
                "/..;/secret", "/..\\secret", "/....//secret", "/sub/../..", "/out-relative", "/out-absolute", "/up/secret",
                "/up/root/hello.txt", "/proc/self/root/etc/passwd", "http://test/../secret"):
            with self.subTest(path):
                response = self.client.get(path)
                self.assertEqual(response.status, 404)
                self.assertNotIn(b"secret", response.body)
        self.assertEqual(self.client.get("/sub/../hello.txt").body, self.content["hello.txt"])
        self.assertEqual(self.client.get("/inside").body, self.content["hello.txt"])

    def test_what_is_no_file_is_not_there(self):
        for path in ("/missing", "/hello.txt/", "/hello.txt/x", "/fifo", "/loop", "/sub/missing", "/" + "x" * 300,
                     "/x" * 2000, "/hello.txt%20", "/HELLO.TXT"):
            with self.subTest(path[:40]):
                self.assertEqual(self.client.get(path).status, 404)

    def test_many_clients_download_at_once(self):
        clients = [self.server.connect() for _ in range(20)]
        for client in clients:
            client.send(request("/size-3000000") + request("/hello.txt"))
        for client in clients:
            self.assertEqual(client.response().body, self.content["size-3000000"])
            self.assertEqual(client.response().body, self.content["hello.txt"])
            client.close()

    def test_no_descriptor_is_left(self):
        for path in ("/hello.txt", "/sub", "/sub/empty", "/fifo", "/missing", "/up/secret", "/size-40000"):
            self.client.get(path)
        self.client.get("/hello.txt", method="HEAD")
        self.client.get("/hello.txt", f"If-Modified-Since: {formatdate(usegmt=True)}")
        self.client.send(request("/", "Connection: close"))
        self.client.response()
        self.assertTrue(self.client.ended())
        wait_for(lambda: self.server.clients() == 0, "no descriptor is left")

    def test_a_file_that_shrinks_ends_the_connection(self):
        size = 50000000
        path = os.path.join(self.root, "shrinks")
        with open(path, "wb") as file:
            file.truncate(size)
        with self.server.connect(receive_buffer=4096) as slow:
            slow.send(request("/shrinks"))
            self.assertTrue(slow.readable(60))
            os.truncate(path, 1000)
            with self.assertRaises(EOFError):
                slow.response()


if __name__ == "__main__":
    main()
