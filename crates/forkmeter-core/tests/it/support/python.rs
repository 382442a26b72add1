//! The official client, run by the Python that `FORKMETER_ORACLE_PYTHON` names.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::repository;

/// Returns the command that runs a script of `tests/oracle`, or says that the test is skipped.
fn script(test: &str, arguments: &[&str]) -> Option<Command> {
    let Some(python) = std::env::var_os("FORKMETER_ORACLE_PYTHON") else {
        eprintln!("SKIPPED {test}: FORKMETER_ORACLE_PYTHON names no Python with prometheus_client");
        return None;
    };
    let mut command = Command::new(python);
    command
        .arg(repository("tests/oracle").join(arguments[0]))
        .args(&arguments[1..]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
        .env_remove("PROMETHEUS_MULTIPROC_DIR")
        .env_remove("PROMETHEUS_LEGACY_NAME_VALIDATION");
    Some(command)
}

/// Runs `text_oracle.py numbers` on floats and returns its lines.
pub(crate) fn numbers(test: &str, values: &[f64]) -> Option<Vec<String>> {
    let mut command = script(test, &["text_oracle.py", "numbers"])?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    Some(
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect(),
    )
}

/// A running `text_oracle.py families`.
pub(crate) struct TextOracle {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl TextOracle {
    pub(crate) fn start(test: &str) -> Option<Self> {
        let mut command = script(test, &["text_oracle.py", "families"])?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Some(Self {
            child,
            stdin,
            stdout,
        })
    }

    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{request}").unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for TextOracle {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
