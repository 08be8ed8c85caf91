// SPDX-License-Identifier: MIT

//! tokio-peer measures on Tokio's tasks what whorl-bench measures on its own, and prints a JSON object as it does.

use std::env;
use std::fs;
use std::os::unix::io::FromRawFd;
use std::os::unix::net::UnixStream as Connection;
use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

const USAGE: &str = "usage: tokio-peer park|sleepers [--n N] [--workers N]
       tokio-peer hog-sessions KIND SLICE_MS DESCRIPTOR...
Measures tasks that wait, or has the sessions of whorl-bench hog --peer.";

fn refuse(why: &str) -> ! {
    eprintln!("tokio-peer: {}\n{}", why, USAGE);
    exit(2);
}

fn fail(why: &str) -> ! {
    eprintln!("tokio-peer: {}", why);
    exit(1);
}

fn runtime(workers: usize) -> Runtime {
    match Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => fail(&format!("no runtime: {}", error)),
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64 / 1e6
}

/// What /proc/self/status says of memory, in bytes: pages, and the tables that map them.
fn memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |line: &str| line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0);

    status.lines().filter(|line| line.starts_with("VmRSS:") || line.starts_with("VmPTE:")).map(kib).sum::<f64>() * 1024.0
}

/// Tasks that wait until all are woken at once.
async fn park(n: usize) -> String {
    let waiting = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let mut tasks = Vec::with_capacity(n);
    let before = memory();
    let start = Instant::now();

    for _ in 0..n {
        let (waiting, gate) = (waiting.clone(), gate.clone());

        tasks.push(tokio::spawn(async move {
            waiting.fetch_add(1, Ordering::Relaxed);
            let _ = gate.acquire().await;
        }));
    }
    while waiting.load(Ordering::Relaxed) < n {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let create = milliseconds(start);
    let bytes = (memory() - before) / n as f64;
    let start = Instant::now();

    gate.close();
    for task in tasks {
        if task.await.is_err() {
            fail("park: a task failed");
        }
    }
    let wake = milliseconds(start);

    format!("\"ms\":{},\"create_ms\":{},\"wake_ms\":{},\"bytes_per_task\":{}", create + wake, create, wake, bytes)
}

async fn sleepers(n: usize) -> String {
    let start = Instant::now();
    let tasks: Vec<_> = (0..n).map(|_| tokio::spawn(tokio::time::sleep(Duration::from_secs(1)))).collect();

    for task in tasks {
        if task.await.is_err() {
            fail("sleepers: a task failed");
        }
    }
    format!("\"ms\":{}", milliseconds(start))
}

fn number(text: Option<&String>) -> usize {
    match text.and_then(|text| text.parse().ok()) {
        Some(number) if number > 0 => number,
        _ => refuse("an option lacks its number"),
    }
}

fn run_waits(name: &str, arguments: &[String]) {
    let (mut n, mut workers) = (1_000_000, 2);
    let mut rest = arguments.iter();

    while let Some(option) = rest.next() {
        match option.as_str() {
            "--n" => n = number(rest.next()),
            "--workers" => workers = number(rest.next()),
            _ => refuse(&format!("{}: no such option", option)),
        }
    }
    let measured = runtime(workers).block_on(async {
        // In a task, as the others are, not on the thread that waits for it.
        let first = if name == "park" { tokio::spawn(park(n)) } else { tokio::spawn(sleepers(n)) };

        first.await
    });
    match measured {
        Ok(values) => println!("{{\"bench\":\"{}\",\"peer\":\"tokio\",\"workers\":{},\"n\":{},{}}}", name, workers, n, values),
        Err(error) => fail(&format!("{}: {}", name, error)),
    }
}

/// Keeps its thread for a slice at a time. It ends with the process.
async fn hog(block: bool, slice: Duration) {
    loop {
        let start = Instant::now();

        if block {
            std::thread::sleep(slice);
        }
        while start.elapsed() < slice {}
        tokio::task::yield_now().await;
    }
}

async fn session(mut connection: UnixStream) {
    let mut buffer = [0; 256];

    while let Ok(n) = connection.read(&mut buffer).await {
        if n == 0 || connection.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
}

/// The connection that was inherited as a descriptor of this number.
fn inherited(descriptor: &str) -> UnixStream {
    let adopted = descriptor.parse().map_err(|_| "not a number".to_string()).and_then(|fd| {
        // Safety: bench/hog-peer.h says that this descriptor is ours.
        let connection = unsafe { Connection::from_raw_fd(fd) };

        connection.set_nonblocking(true).and_then(|_| UnixStream::from_std(connection)).map_err(|error| error.to_string())
    });
    match adopted {
        Ok(connection) => connection,
        Err(why) => fail(&format!("hog-sessions: descriptor {}: {}", descriptor, why)),
    }
}

/// The side of bench/hog.c that bench/hog-peer.h describes.
async fn hog_sessions(kind: String, slice: Duration, descriptors: Vec<String>) {
    let sessions: Vec<_> = descriptors.iter().map(|fd| tokio::spawn(session(inherited(fd)))).collect();

    if kind != "none" {
        tokio::spawn(hog(kind == "block", slice));
    }
    println!("ready");
    for session in sessions {
        let _ = session.await;
    }
}

fn run_hog(arguments: &[String]) {
    if arguments.len() < 3 || !["spin", "block", "none"].contains(&arguments[0].as_str()) {
        refuse("hog-sessions: KIND, SLICE_MS and DESCRIPTOR are needed");
    }
    let slice = Duration::from_millis(number(arguments.get(1)) as u64);
    let runtime = runtime(2);

    let _ = runtime.block_on(runtime.spawn(hog_sessions(arguments[0].clone(), slice, arguments[2..].to_vec())));
    exit(0); // the hog goes on, so the runtime would not end
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();

    match arguments.first().map(String::as_str) {
        Some("park") | Some("sleepers") => run_waits(&arguments[0], &arguments[1..]),
        Some("hog-sessions") => run_hog(&arguments[1..]),
        Some("--help") => println!("{}", USAGE),
        _ => refuse("what is to be measured?"),
    }
}
