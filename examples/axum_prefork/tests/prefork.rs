//! Runs the example with several workers, kills some, and asks whichever worker answers what was counted.

#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::float_cmp, reason = "counts are exact")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

struct Service {
    supervisor: Child,
    address: SocketAddr,
    _output: BufReader<ChildStdout>,
    _directory: tempfile::TempDir,
}

impl Service {
    fn start(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut supervisor = Command::new(env!("CARGO_BIN_EXE_axum_prefork"))
            .args(["--listen", "127.0.0.1:0", "--workers", &WORKERS.to_string()])
            .args(flags)
            .env("PROMETHEUS_MULTIPROC_DIR", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(supervisor.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let address = address
            .unwrap_or_else(|| panic!("no address in {line:?}"))
            .parse()
            .unwrap();
        Self {
            supervisor,
            address,
            _output: output,
            _directory: directory,
        }
    }

    /// Sends one request on a connection of its own and returns the body of the answer.
    fn try_get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or(std::io::ErrorKind::InvalidData)?;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Ok(body.to_string())
    }

    /// Asks `/` and returns the process id of the worker that answered.
    fn hello(&self) -> u32 {
        let body = self.try_get("/").unwrap();
        body.trim().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Asks until `count` workers answered, and returns them and how often it asked.
    fn meet(&self, count: usize) -> (BTreeSet<u32>, f64) {
        let start = Instant::now();
        let (mut met, mut asked) = (BTreeSet::new(), 0.0);
        while met.len() < count {
            assert!(
                start.elapsed() < PATIENCE,
                "only {met:?} of {count} workers answered"
            );
            // Before the first worker listens nobody does.
            match self.try_get("/") {
                Ok(body) => {
                    asked += 1.0;
                    met.insert(body.trim().rsplit(' ').next().unwrap().parse().unwrap());
                }
                Err(_) if met.is_empty() => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("{error}"),
            }
        }
        (met, asked)
    }

    fn value(&self, series: &str) -> Option<f64> {
        let body = self.try_get("/metrics").unwrap();
        let mut lines = body.lines();
        lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The workers end with their supervisor.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// Kills a worker and waits until the supervisor has taken notice: the kernel has then closed its sockets.
fn kill(pid: u32) {
    let status = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let start = Instant::now();
    while std::fs::exists(format!("/proc/{pid}")).unwrap() {
        assert!(start.elapsed() < PATIENCE, "{pid} does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn counts_survive_workers(flags: &[&str]) {
    const ANSWERED: &str = "http_requests_total{method=\"GET\",route=\"/\",status=\"200\"}";
    const RUNNING: &str = "http_requests_in_progress{method=\"GET\",route=\"/metrics\"}";
    let service = Service::start(flags);
    let (first, mut asked) = service.meet(WORKERS);
    for _ in 0..200 {
        service.hello();
        asked += 1.0;
    }
    // Several times, so that several workers answer.
    for _ in 0..20 {
        assert_eq!(service.value(ANSWERED), Some(asked));
    }
    // The scrape itself is being answered while it counts.
    assert_eq!(service.value(RUNNING), Some(1.0));

    let mut killed = BTreeSet::new();
    for victim in first.iter().take(2) {
        kill(*victim);
        killed.insert(*victim);
        for _ in 0..100 {
            assert!(!killed.contains(&service.hello()), "a dead worker answered");
            asked += 1.0;
        }
        assert_eq!(service.value(ANSWERED), Some(asked));
    }
    let (second, more) = service.meet(WORKERS);
    asked += more;
    assert_eq!(second.intersection(&killed).count(), 0);
    for _ in 0..20 {
        assert_eq!(service.value(ANSWERED), Some(asked));
    }
    let observed = "http_request_duration_seconds_count{method=\"GET\",route=\"/\",status=\"200\"}";
    assert_eq!(service.value(observed), Some(asked));
    assert_eq!(service.value("workers_started_total"), Some(5.0));
    assert_eq!(service.value(RUNNING), Some(1.0));

    let body = service.try_get("/metrics").unwrap();
    let shown: BTreeSet<u32> = body
        .lines()
        .filter_map(|line| {
            line.strip_prefix("process_start_time_seconds{pid=\"")?
                .split('"')
                .next()
        })
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(
        second.is_subset(&shown),
        "{second:?} are alive, {shown:?} are shown"
    );
    assert_eq!(
        shown.intersection(&killed).count(),
        0,
        "dead workers are shown"
    );
}

#[test]
fn forked_workers_count_together() {
    counts_survive_workers(&[]);
}

#[test]
fn spawned_workers_count_together() {
    counts_survive_workers(&["--spawn"]);
}
