//! What the tests share: hand-made directories, the command, a small HTTP client.

pub(crate) mod directory;
pub(crate) mod http;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long anything may take; far more than it does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the command with arguments that are separated by spaces.
pub(crate) fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forkmeter"));
    command
        .args(arguments.split_whitespace())
        .stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &str) -> Output {
    command(arguments).output().unwrap()
}

/// Runs the command, which succeeds, and returns what it prints.
pub(crate) fn stdout(arguments: &str) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns what a command wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An exporter that listens; killed at the end of its test.
pub(crate) struct Exporter {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
}

impl Exporter {
    /// Starts `forkmeter serve` with these arguments on a port that the system chooses.
    pub(crate) fn start(arguments: &str) -> Self {
        let mut child = command(&format!(
            "serve --web.listen-address 127.0.0.1:0 {arguments}"
        ))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut exporter = Self {
            child,
            lines,
            log: Vec::new(),
            address: String::new(),
        };
        let line = exporter.wait_for_line("listening");
        let (_, address) = line.split_once("http://").unwrap();
        address
            .trim_end_matches('/')
            .clone_into(&mut exporter.address);
        exporter
    }

    /// Returns the first line of the log, old or new, that contains `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.log.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {text:?} in {:#?}", self.log)
                }
            }
        }
    }

    /// Returns the lines of the log that contain `text`, of all that were written before the exporter ended.
    pub(crate) fn lines_at_the_end(&mut self, text: &str) -> Vec<String> {
        self.log.extend(self.lines.iter());
        self.log
            .iter()
            .filter(|line| line.contains(text))
            .cloned()
            .collect()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the exporter does not end");
    }

    /// Starts the exporter on one directory.
    pub(crate) fn of(directory: &tempfile::TempDir) -> Self {
        Self::start(&directory.path().display().to_string())
    }

    /// Asks for a page.
    pub(crate) fn get(&self, path: &str) -> http::Response {
        http::request(&self.address, "GET", path, &[])
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells whether an exposition has a line.
pub(crate) fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|l| l == line)
}

/// Checks an exposition with Prometheus' own linter; says so where it is not installed.
pub(crate) fn check_with_promtool(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: promtool is not on the PATH");
        assert!(std::env::var_os("CI").is_none(), "CI skips nothing");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?} for {text}"
    );
}
