# SPDX-License-Identifier: MIT
"""What bench/compare measures: programs, how to run them, and the figures with their contestants and targets."""

import http.client
import json
import os
import re
import shutil
import statistics
import subprocess

from servers import Failure, Nginx, Server, cores, on_core

HERE = os.path.dirname(os.path.abspath(__file__))
BOOST_NS = 4.3  # what the targets in ns assume
PIPELINE = 16
PATIENCE_S = 60  # beyond the time a measurement is meant to take
# The Debian packages without which a program is not built, or not there.
PACKAGES = {
    "boost-switch": "libboost-context-dev", "boost-fiber-yield": "g++ libboost-fiber-dev libboost-context-dev",
    "onetbb-forkjoin": "g++ libtbb-dev", "onetbb-arrays": "g++ libtbb-dev", "openmp-forkjoin": "g++",
    "go-peer": "golang-go", "tokio-peer": "cargo librust-tokio-dev", "httpd": "node-llhttp",
    "wrk": "wrk", "nginx": "nginx-light", "valgrind": "valgrind", "gnuplot": "gnuplot-nox",
}


def package_of(program):
    """What to install for a program that is missing, as a remark."""
    package = PACKAGES.get(os.path.basename(str(program)))
    return f" (Debian: {package})" if package else ""


class Context:
    """What the measurements need to know: the programs and how long to run them."""

    def __init__(self, args):
        self.build, self.seconds = args.build, args.seconds
        self.bench = self.program("bench", "whorl-bench")

    def program(self, *parts):
        """Where the build put a program, which may be a directory of the same name."""
        path = os.path.join(self.build, *parts)
        return os.path.join(path, parts[-1]) if os.path.isdir(path) else path

    def missing(self):
        """The programs of PACKAGES that are not there, each with its packages."""
        built = {program for _, _, files in os.walk(self.build) for program in files}
        return [program + package_of(program) for program in PACKAGES
                if program not in built and not shutil.which(program) and not shutil.which(program, path="/usr/sbin")]

    def run(self, argv, core=None):
        """Runs a program to its end; returns what it printed."""
        try:
            done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, text=True, preexec_fn=on_core(core),
                                  timeout=self.seconds + PATIENCE_S, check=False)
        except FileNotFoundError as e:
            raise Failure(f"{argv[0]} is not there{package_of(argv[0])}") from e
        except subprocess.TimeoutExpired as e:
            raise Failure(f"{' '.join(map(str, argv))} did not end") from e
        if done.returncode != 0:
            raise Failure(f"{' '.join(map(str, argv))}: status {done.returncode}")
        return done.stdout


def ns_of(program, *options, pinned=True, value=lambda result: result["ns_per_op"]):
    """A contestant that prints ns_per_op itself, or something that `value` makes of what it prints."""
    def measure(context):
        core = cores()[0] if pinned else None
        result = json.loads(context.run([context.program("bench", *program), *options, "--runs", "1"], core))
        return {"value": value(result)}
    return measure


def result_of(program, *options, value, also=(), scale=1.0):
    """A contestant that prints several quantities: `value` names one of them, or makes one of the whole, and is multiplied by
    `scale`; `also` names those that are shown beside it."""
    def measure(context):
        result = json.loads(context.run([context.program("bench", *program), *options]))
        main = value(result) if callable(value) else result[value]
        return {"value": main * scale, **{quantity: result[quantity] for quantity in also if quantity in result}}
    return measure


def echo_of(connections, *server, value="requests_per_server_cpu_second", pinned=True):
    """An echo server, under load from another core."""
    def measure(context):
        server_core, client_core = cores()
        with Server([context.program(*server[0]), *server[1:], "--port", "0"], server_core if pinned else None) as running:
            result = json.loads(context.run(
                [context.bench, "echo-client", "--port", running.port, "--server-pid", running.pid, "--connections", connections,
                 "--size", 64, "--seconds", context.seconds, "--runs", 1], client_core))
        also = {"requests_per_second", "p99_us", "server_cpu_share", "client_cpu_share"} - {value}
        return {"value": result[value], **{quantity: result[quantity] for quantity in sorted(also)}}
    return measure


MICROSECONDS = {"us": 1, "ms": 1e3, "s": 1e6}


def wrk(context, server, connections, depth):
    script = ["-s", os.path.join(HERE, "pipeline.lua")] if depth > 1 else []
    before = server.cpu_ns()
    options = ["-t2", f"-c{connections}", f"-d{max(1, round(context.seconds))}s", "--latency", "--timeout", "60s"]
    said = context.run(["wrk", *options, *script, f"http://127.0.0.1:{server.port}/", depth])
    used = server.cpu_ns() - before
    rate, answers = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)\s", said)
    if not rate or not answers or not p99 or re.search(r"Socket errors|Non-2xx", said):
        raise Failure(f"wrk reports errors:\n{said}")
    result = {"value": float(rate[1]), "requests_per_server_cpu_second": int(answers[1]) * 1e9 / used}
    if float(p99[1]) > 0:  # wrk sometimes prints 0.00us for requests that were pipelined
        result["p99_us"] = float(p99[1]) * MICROSECONDS[p99[2]]
    return result


def httpd(context):
    return Server([context.program("examples", "httpd"), "--port", "0", "--workers", "2", "--root", HERE])


def httpd_body(context):
    """What httpd answers at /; nginx is made to answer as many bytes."""
    if not hasattr(context, "body"):
        with httpd(context) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", "/")
            answer = connection.getresponse()
            if answer.status != 200:
                raise Failure(f"httpd answers {answer.status} at /")
            context.body = answer.read().decode("ascii", errors="replace")
            connection.close()
    return context.body


def http_whorl(connections, depth=1):
    def measure(context):
        with httpd(context) as server:
            return wrk(context, server, connections, depth)
    return measure


def http_nginx(connections, depth=1):
    def measure(context):
        with Nginx(httpd_body(context), workers=2) as server:
            return wrk(context, server, connections, depth)
    return measure


def counts_of(workload):
    def measure(context):
        result = json.loads(context.run([os.path.join(HERE, "instructions"), "--build", context.build, workload]))
        return {"value": result["instructions_per_op"], "atomics": result["atomics_per_op"]}
    return measure


class Target:
    """What whorl is to reach. `quantity`: which of the values that a contestant has. The score is what was measured, in units of
    the limit: at 1 or below the target is met."""

    def __init__(self, limit, unit="", quantity="value"):
        self.limit, self.unit, self.quantity = limit, unit, quantity

    def judge(self, samples):
        """(what is asked for, what came out, the score), the last two None where that cannot be said."""
        values = samples.get("whorl", {}).get(self.quantity)
        if not values:
            return self.text(), None, None
        got = statistics.median(values)
        return self.text(), f"{got:,.4g} {self.unit}".strip(), self.score(got)

    def text(self):
        raise NotImplementedError

    def score(self, got):
        raise NotImplementedError


class AtMost(Target):
    def text(self):
        return f"{name_of(self.quantity)} <= {self.limit:,} {self.unit}".strip()

    def score(self, got):
        return got / self.limit


class AtLeast(Target):
    def text(self):
        return f"{name_of(self.quantity)} >= {self.limit:,} {self.unit}".strip()

    def score(self, got):
        return self.limit / got


class TimesPeer(Target):
    """At least so many times what a peer reaches."""

    def __init__(self, limit, against):
        super().__init__(limit)
        self.against = against

    def judge(self, samples):
        got = ratio(samples, self.against)
        text = f">= {self.limit}x {self.against}"
        return (text, None, None) if got is None else (text, f"{got:.2f}x", self.limit / got)


class Scaled(Target):
    """At most so many ns where Boost's context switch takes BOOST_NS."""

    def judge(self, samples):
        got = ratio(samples, YARDSTICK)
        if got is None:
            return f"<= {self.limit} ns, scaled", None, None
        scaled = self.limit * statistics.median(samples[YARDSTICK]["value"]) / BOOST_NS
        score = got * BOOST_NS / self.limit
        return f"<= {scaled:.1f} ns ({self.limit} scaled)", f"{score * scaled:.1f} ns", score


class Figure:
    """One comparison. The first contestant is whorl, the others its peers; `against` names the one that the ratio is to."""

    def __init__(self, what, unit, contestants, against=None, targets=(), once=False):
        self.what, self.unit, self.contestants, self.against = what, unit, contestants, against
        self.targets, self.once = targets, once


def ratio(samples, against):
    """whorl's to a peer's: the median of the rounds' ratios. None: one of them was not measured."""
    if "whorl" not in samples or against not in samples:
        return None
    return statistics.median(w / p for w, p in zip(samples["whorl"]["value"], samples[against]["value"]))


# What a contestant may have beside its value, and how it is printed: a name, and what it is multiplied by.
EXTRAS = {
    "requests_per_second": ("requests/s", 1), "requests_per_server_cpu_second": ("per server-CPU-second", 1),
    "p50_us": ("p50 us", 1), "p99_us": ("p99 us", 1), "max_us": ("max us", 1), "long_us": ("owner computing for 1 s: us", 1),
    "undisturbed": ("forks so", 1), "undisturbed_p50_us": ("p50 us", 1), "undisturbed_max_us": ("max us", 1),
    "nap_100us_p50_us": ("a nap of 100 us: p50 us", 1), "nap_100us_p99_us": ("p99 us", 1),
    "left_to_owner": ("not taken", 1),
    "server_cpu_share": ("server CPU %", 100), "client_cpu_share": ("client CPU %", 100), "atomics": ("atomic instructions", 1),
    "alone_p99_us": ("p99 us alone", 1), "both_p99_us": ("with the work", 1), "both_client_late_p99_us": ("client late p99 us", 1),
    "both_client_cpu_share": ("client CPU %", 100), "speed_ratio": ("speed of the work beside it", 1),
    "create_ms": ("create ms", 1), "wake_ms": ("wake ms", 1), "raw_ratio": ("create + wake over raw stacks", 1),
    "taken_over": ("taken over", 1),
}


def name_of(quantity):
    return "" if quantity == "value" else EXTRAS[quantity][0]


YARDSTICK = "boost context switch"
BOOST = ns_of(["peers", "boost-switch"])
WHORL = "whorl-bench"
PER_CPU = "requests per server-CPU-second"


def echo_figure(connections):
    return Figure(f"64 B echo, {connections} connections", PER_CPU, {
        "whorl": echo_of(connections, ["examples", "echo"], "--workers", "1"),
        "raw epoll": echo_of(connections, ["bench", "peers", "raw-epoll-echo"]),
        "raw io_uring": echo_of(connections, ["bench", "peers", "raw-uring-echo"]),
    }, against="raw epoll", targets=[TimesPeer(0.97, "raw epoll")])


def echo_alone_figure(pinned):
    how = {"value": "requests_per_second", "pinned": pinned}
    return Figure("64 B echo, 1 connection, 2 workers, server on " + ("one core" if pinned else "any core"), "requests/s", {
        "whorl": echo_of(1, ["examples", "echo"], "--workers", "2", **how),
        "raw epoll": echo_of(1, ["bench", "peers", "raw-epoll-echo"], **how),
        "raw io_uring": echo_of(1, ["bench", "peers", "raw-uring-echo"], **how),
    }, against="raw epoll", targets=[TimesPeer(1.5, "raw epoll")] if pinned else [])


def http_figure(connections, depth):
    what = f"HTTP, {connections} connections" + (f", pipelined by {depth}" if depth > 1 else "")
    return Figure(what, "requests/s", {"whorl": http_whorl(connections, depth), "nginx": http_nginx(connections, depth)},
                  against="nginx", targets=[TimesPeer(7 if depth > 1 else 1.0, "nginx")])


GO, TOKIO = ["peers", "go", "go-peer"], ["peers", "tokio", "tokio-peer"]
ONETBB, OPENMP = ["peers", "onetbb-forkjoin"], ["peers", "openmp-forkjoin"]
ONETBB_ARRAYS = ["peers", "onetbb-arrays"]


def forks_figure(bench, n, workers, target_ns, slower=None):
    """Fork-join, the ns for each fork. `slower`: peers that get a smaller n."""
    def contestant(who, program):
        return ns_of(program, bench, "--n", str((slower or {}).get(who, n)), "--workers", str(workers), pinned=workers == 1)

    programs = {"whorl": [WHORL], "oneTBB": ONETBB, "OpenMP": OPENMP, "Go": GO}
    contestants = {who: contestant(who, program) for who, program in programs.items()}
    what = f"{bench}({n}), {workers} worker{'s' if workers > 1 else ''}, each fork"
    return Figure(what, "ns", {**contestants, YARDSTICK: BOOST}, "oneTBB", [Scaled(target_ns)])


def round_trip_figure(how, spin, iterations, target_ns):
    """Between two workers, each of which finds its task parked, and then looks on for work or sleeps at once."""
    return Figure(f"round trip by unbuffered channels, between two workers, {how}", "ns", {
        "whorl": ns_of([WHORL], "channel", "--workers", "2", "--spin", spin, "--iterations", iterations, pinned=False),
        "Go": ns_of(GO, "channel", "--workers", "2", "--iterations", iterations, pinned=False)},
        "Go", [AtMost(target_ns, "ns")])


def queens_figure(n, target_ratio):
    """Fork-join against what it is to speed up."""
    def contestant(program, *options, workers="2", key="ms"):
        return ns_of(program, "nqueens", "--n", str(n), "--workers", workers, *options, pinned=False,
                     value=lambda result: 60e3 / result[key])

    plain = "plain recursion"
    return Figure(f"nqueens({n}), 2 workers", "boards/minute", {
        "whorl": contestant([WHORL]), plain: contestant([WHORL], workers="1", key="plain_ms"), "oneTBB": contestant(ONETBB),
        "OpenMP": contestant(OPENMP), "Go": contestant(GO, "--warmup", "0")}, plain, [TimesPeer(target_ratio, plain)])


def take_figure(which):
    """The p99 of forks that were kept waiting by the runtime alone: where another process has the processor of the idle worker, that
    waits as any thread does."""
    also = ("undisturbed_p50_us", "undisturbed_max_us", "undisturbed", "left_to_owner", "p99_us", "max_us", "long_us",
            "nap_100us_p50_us", "nap_100us_p99_us")
    return Figure(f"a task's {which} fork, while it computes, is taken by an idle worker; p99, no other process in the way", "us", {
        "whorl": result_of([WHORL], "fork-take", "--fork", which, value="undisturbed_p99_us", also=also)},
        targets=[AtMost(200, "us")])


def hog_figure(kind, target_ms):
    """Connections of a worker that a task keeps."""
    def contestant(*options):
        return result_of([WHORL], "hog", "--kind", *options, value="p99_us", scale=1e-3, also=("p50_us", "taken_over"))

    def peer(*program):
        def measure(context):
            return contestant(kind, "--peer", context.program("bench", *program))(context)
        return measure

    what = {"spin": "spins", "block": "blocks in the kernel"}[kind]
    return Figure(f"100 connections on a worker whose task {what}, 2 workers, 2,000 requests/s; p99", "ms", {
        "whorl": contestant(kind), "no hog": contestant("none"), "no takeover": contestant(kind, "--takeover", "off"),
        "Go": peer(*GO), "Tokio": peer(*TOKIO)}, targets=[AtMost(target_ms, "ms")])


BESIDE = ("alone_p99_us", "both_p99_us", "speed_ratio", "both_client_late_p99_us", "both_client_cpu_share")


def busy_echo_figure():
    """Two clients: one that gets its processor at once, and one that has to wait for a worker's as any process has."""
    def contestant(clients):
        return result_of([WHORL], "busy-echo", "--clients", clients, value="both_p99_us", scale=1e-3, also=BESIDE)

    return Figure("50 connections, 2,000 requests/s, while 2 workers on the only 2 cores compute by forks; p99", "ms", {
        "whorl": contestant("real-time"), "client not real-time": contestant("normal")}, targets=[AtMost(3, "ms")])


def server_sort_figure():
    def contestant(clients):
        return result_of([WHORL], "server-sort", "--clients", clients, value="p99_ratio", also=BESIDE)

    return Figure("500 connections, 2,000 requests/s, while a handler sorts; p99", "times that without the sort", {
        "whorl": contestant("real-time"), "client not real-time": contestant("normal")},
        targets=[AtMost(2, "x"), AtLeast(0.8, "x", "speed_ratio")])


def park_figure():
    def whorl(context):
        result = json.loads(context.run([context.bench, "park"]))
        return {"value": result["bytes_per_task"],
                "create_ms": result["create_ms"], "wake_ms": result["wake_ms"],
                "raw_ratio": (result["create_ms"] + result["wake_ms"]) / result["raw_stacks_ms"]}
    def peer(program, n):
        return result_of(program, "park", n, "1000000", value="bytes_per_task", also=("create_ms", "wake_ms"))

    return Figure("a million parked tasks, each", "bytes", {"whorl": whorl, "Go": peer(GO, "-n"), "Tokio": peer(TOKIO, "--n")},
                  targets=[AtMost(4500, "bytes"), AtMost(1.4, "x", "raw_ratio")])


def matmul_figure():
    def contestant(program, workers, key="ms"):
        return result_of(program, "matmul", "--workers", workers, "--runs", "1", value=lambda result: 60e3 / result[key])

    plain = "plain on one"
    return Figure("product of matrices of 1,024 rows, 2 workers", "products/minute", {
        "whorl": contestant([WHORL], "2"), "whorl, 1 worker": contestant([WHORL], "1"), "oneTBB": contestant(ONETBB_ARRAYS, "2"),
        plain: contestant([WHORL], "1", key="plain_ms")}, plain)


def sort_figure():
    def contestant(program, workers, *options, key="ms"):
        return result_of(program, "sort", "--workers", workers, "--runs", "1", *options, value=lambda result: 60e3 / result[key])

    return Figure("sort of 5,000,000 numbers, 2 workers", "sorts/minute", {
        "whorl": contestant([WHORL], "2"), "whorl, 1 worker": contestant([WHORL], "1"),
        "qsort": contestant([WHORL], "1", key="qsort_ms"), "oneTBB": contestant(ONETBB_ARRAYS, "2"),
        "oneTBB, as qsort compares": contestant(ONETBB_ARRAYS, "2", "--compare", "call")}, "qsort")


FIGURES = {
    "switch": Figure("context switch", "ns", {"whorl": ns_of([WHORL], "switch"), YARDSTICK: BOOST}, YARDSTICK, [Scaled(4.3)]),
    "yield": Figure("yield between two tasks", "ns", {
        "whorl": ns_of([WHORL], "yield"), "boost.fiber": ns_of(["peers", "boost-fiber-yield"]),
        "Go": ns_of(GO, "yield"), YARDSTICK: BOOST}, "boost.fiber", [Scaled(20)]),
    "spawn": Figure("spawn + join of a task that suspends once", "ns", {
        "whorl": ns_of([WHORL], "spawn"), "whorl, 100 at once": ns_of([WHORL], "spawn", "--batch", "100"),
        "Go": ns_of(GO, "spawn"), YARDSTICK: BOOST}, "Go", [Scaled(45)]),
    "channel": Figure("round trip by unbuffered channels, one worker", "ns", {
        "whorl": ns_of([WHORL], "channel"), "Go": ns_of(GO, "channel"), YARDSTICK: BOOST}, "Go", [Scaled(68)]),
    "channel-2-spinning": round_trip_figure("spinning", "1000000", "1000000", 2000),
    "channel-2-parking": round_trip_figure("parking", "-1", "20000", 40000),
    "stream": Figure("an item by a channel of 128, one worker", "ns", {
        "whorl": ns_of([WHORL], "stream"), "Go": ns_of(GO, "stream"), YARDSTICK: BOOST}, "Go", [Scaled(16)]),
    "stream-2": Figure("an item by a channel of 128, from one worker to another", "ns", {
        "whorl": ns_of([WHORL], "stream", "--workers", "2", pinned=False),
        "Go": ns_of(GO, "stream", "--workers", "2", pinned=False)}, "Go", [AtMost(120, "ns")]),
    "select": Figure("select over four channels that all have something", "ns", {
        "whorl": ns_of([WHORL], "select"), "Go": ns_of(GO, "select"), YARDSTICK: BOOST}, "Go", [Scaled(150)]),
    "mutex": Figure("lock + unlock of a mutex that nobody else wants", "ns", {
        "whorl": ns_of([WHORL], "mutex"), "Go": ns_of(GO, "mutex"), YARDSTICK: BOOST}, "Go", [Scaled(12)]),
    "mutex-contended": Figure("a mutex that a task on each of 2 workers wants, from one unlock to the next", "ns", {
        "whorl": result_of([WHORL], "mutex-contended", "--runs", "1", value="ns_per_op"),
        "pthread": result_of([WHORL], "mutex-contended", "--runs", "1", value="pthread_ns_per_op"),
        "Go": result_of(GO, "mutex-contended", "-runs", "1", "-workers", "2", value="ns_per_op")}, "pthread"),
    "scope": Figure("open a scope, spawn one task into it, close it", "ns", {
        "whorl": ns_of([WHORL], "scope"), "Go": ns_of(GO, "scope"), YARDSTICK: BOOST}, "Go", [Scaled(70)]),
    "cancel": Figure("cancel a task that waits for an event, and join it", "ns", {
        "whorl": ns_of([WHORL], "cancel"), "Go": ns_of(GO, "cancel"), YARDSTICK: BOOST}, "Go", [Scaled(150)]),
    "fib-1": forks_figure("fib", 37, 1, 5.0, {"oneTBB": 32, "OpenMP": 30, "Go": 27}),
    "fib-2": forks_figure("fib", 37, 2, 2.6, {"oneTBB": 32, "OpenMP": 27, "Go": 27}),
    "skynet-2": forks_figure("skynet", 1000000, 2, 4),
    "nqueens-2": queens_figure(13, 1.8),
    "matmul-2": matmul_figure(),
    "sort-2": sort_figure(),
    "sleep-forks": Figure("10,000 forks that each sleep 10 ms, 2 workers", "ms", {
        "whorl": result_of([WHORL], "sleep-forks", "--runs", "1", value="ms")}, targets=[AtMost(60, "ms")]),
    "fork-take": take_figure("later"),
    "fork-take-first": take_figure("first"),
    "hog-spin": hog_figure("spin", 2),
    "hog-block": hog_figure("block", 10),
    "busy-echo": busy_echo_figure(),
    "server-sort": server_sort_figure(),
    "park": park_figure(),
    "sleepers": Figure("a million tasks that sleep for a second, 2 workers", "ms", {
        "whorl": result_of([WHORL], "sleepers", value="ms"),
        "Go": result_of(GO, "sleepers", "-n", "1000000", "-workers", "2", value="ms"),
        "Tokio": result_of(TOKIO, "sleepers", value="ms")}, "Go"),
    "echo-50": echo_figure(50),
    "echo-512": echo_figure(512),
    "echo-1": echo_alone_figure(pinned=True),
    "echo-1-any-core": echo_alone_figure(pinned=False),
    "http-64": http_figure(64, 1),
    "http-512": http_figure(512, 1),
    "http-64-pipelined": http_figure(64, PIPELINE),
    "http-512-pipelined": http_figure(512, PIPELINE),
    "yield-count": Figure("yield between two tasks", "instructions", {"whorl": counts_of("yield")}, once=True),
    "spawn-count": Figure("spawn + join of a task that suspends once", "instructions", {"whorl": counts_of("spawn")}, once=True),
}
