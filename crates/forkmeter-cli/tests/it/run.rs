//! `forkmeter run`: what the command gets, signals, exit codes, what is left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::directory::write;
use crate::support::http::request;
use crate::support::{PATIENCE, command, has_line, stderr};

/// Returns `forkmeter run OPTIONS -- sh -c SCRIPT`. `exec` in the script makes the program the command itself.
fn shell(options: &str, script: &str) -> Command {
    let mut command = command(&format!("run {options} -- sh -c"));
    command.arg(script);
    command
}

/// Returns the command, to be started without the ignored signals that a job in the background inherits: a shell cannot trap them.
fn with_default_signals(words: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal").args(words);
    command
}

/// A run that is under way; killed, with what it started, at the end of its test.
struct Run {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Run {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            // A group of its own, as a job of a shell has.
            .process_group(0)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Reads the next line that the command prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn stderr(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.child.stderr.take().unwrap())
    }

    fn signal(&self, name: &str) {
        kill(name, &self.child.id().to_string());
    }

    fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let mut status = None;
        wait_until("the run ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended already; what it started is in its group.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.child.wait();
    }
}

fn kill(signal: &str, whom: &str) {
    let status = Command::new("kill").args([signal, "--", whom]).status();
    assert!(status.unwrap().success());
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the private directory of a directory to count in.
fn private(metrics: &str) -> PathBuf {
    let root = Path::new(metrics).parent().unwrap();
    let name = root.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("forkmeter-run-"), "{name}");
    root.to_owned()
}

#[test]
fn the_command_gets_a_private_directory_and_the_alias() {
    let output = shell(
        "",
        "cd \"$PROMETHEUS_MULTIPROC_DIR\" && stat -c %a . && ls -a && pwd && echo \"$PYTHONPATH\" \
         && echo \"[$prometheus_multiproc_dir]\" && ls \"${PYTHONPATH%%:*}\" && ps -o pgid= $$ $PPID | uniq | wc -l",
    )
    .env("PROMETHEUS_MULTIPROC_DIR", "/somewhere/else")
    .env("prometheus_multiproc_dir", "/somewhere/else")
    .env("PYTHONPATH", "/a:/b")
    .output()
    .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [mode, dot, parent, metrics, path, old, module, groups] = lines[..] else {
        panic!("{output:?}");
    };
    assert_eq!((mode, dot, parent), ("700", ".", ".."), "empty and private");
    let root = private(metrics);
    assert_eq!(path, format!("{}/python:/a:/b", root.display()));
    assert_eq!((old, module), ("[]", "sitecustomize.py"));
    assert_eq!(
        groups, "1",
        "one process group, so that the terminal means both"
    );
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert!(!root.exists(), "{} is left behind", root.display());
}

#[test]
fn a_given_directory_is_made_and_kept() {
    let temporary = tempfile::tempdir().unwrap();
    let script = "echo \"$PROMETHEUS_MULTIPROC_DIR\"; echo \"$PYTHONPATH\"; echo 1 > \"$PROMETHEUS_MULTIPROC_DIR/x\"";
    let output = shell("--dir new/metrics", script)
        .current_dir(&temporary)
        .env_remove("PYTHONPATH")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (metrics, path) = text.trim_end().split_once('\n').unwrap();
    let directory = temporary.path().canonicalize().unwrap().join("new/metrics");
    assert_eq!(Path::new(metrics), directory);
    assert_eq!(fs::read_to_string(directory.join("x")).unwrap(), "1\n");
    assert!(!private(path).exists());
    let output = shell("--dir /proc/self/status", "echo started")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        stderr(&output).contains("/proc/self/status: not a directory"),
        "{output:?}"
    );
}

#[test]
fn exit_codes_are_passed_on() {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
    ] {
        let output = shell("", script).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{script}: {output:?}");
    }
    for (arguments, code, text) in [
        (
            "run no-such-command-anywhere",
            127,
            "there is no such command",
        ),
        ("run -- /etc/passwd", 126, "cannot start /etc/passwd"),
        ("run", 2, "--help"),
        ("run --frobnicate -- true", 2, "--help"),
        ("run --serve nowhere -- true", 2, "--help"),
    ] {
        let output = command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {output:?}");
        assert!(stderr(&output).contains(text), "{arguments}: {output:?}");
    }
    // Options after the command are the command's.
    let output = command("run echo --dir -x --serve").output().unwrap();
    assert_eq!(output.stdout, b"--dir -x --serve\n");
}

#[test]
fn signals_are_passed_on() {
    const SIGNALS: [&str; 9] = [
        "HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "TTIN", "TTOU", "WINCH",
    ];
    let mut script = String::new();
    for signal in SIGNALS {
        script.extend(["trap 'echo ", signal, "' ", signal, "; "]);
    }
    script += "trap 'exit 5' ALRM; echo $$; while :; do sleep 0.01; done";
    let forkmeter = env!("CARGO_BIN_EXE_forkmeter");
    let mut run = Run::start(&mut with_default_signals(&[
        forkmeter, "run", "--", "sh", "-c", &script,
    ]));
    let pid = run.line();
    for signal in SIGNALS {
        run.signal(&format!("-{signal}"));
        assert_eq!(run.line(), signal);
    }
    kill("-ALRM", &pid);
    assert_eq!(run.wait().code(), Some(5));
    assert_eq!(run.line(), "", "a signal came twice");
}

#[test]
fn ignored_signals_stay_ignored() {
    // What nohup does, and what a shell does for a job in the background.
    let mut command = Command::new("sh");
    let script = "trap '' HUP CHLD; exec \"$0\" run -- sh -c 'trap \"\" INT; grep SigIgn /proc/$$/status; exit 4'";
    command.args(["-c", script, env!("CARGO_BIN_EXE_forkmeter")]);
    let mut run = Run::start(&mut command);
    let line = run.line();
    let mask = u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap();
    let ignored = |signal: u32| mask & (1 << (signal - 1)) != 0;
    assert!(ignored(1), "HUP: {line}");
    assert!(!ignored(13) && !ignored(15), "PIPE and TERM: {line}");
    assert_eq!(
        run.wait().code(),
        Some(4),
        "known although SIGCHLD was ignored"
    );
}

#[test]
fn the_terminals_signals_come_once() {
    // script(1) gives a terminal, whose Ctrl-C goes to the whole group in the foreground.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("script");
    let script =
        "trap 'echo got INT' INT; echo ready $PPID; until [ -e \"$0.end\" ]; do :; done; exit 6";
    fs::write(&file, script).unwrap();
    // The shell between the two (script stops with the child that it started) must outlive the signal.
    let inner = format!(
        "trap : INT; {} run -- sh {}; exit $?",
        env!("CARGO_BIN_EXE_forkmeter"),
        file.display()
    );
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("SKIPPED: script is not on the PATH");
        assert!(std::env::var_os("CI").is_none(), "CI skips nothing");
        return;
    }
    let mut child = with_default_signals(&["script", "-qec", &inner, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut keyboard = child.stdin.take().unwrap();
    let mut text = lines.next().unwrap();
    let run = text.trim_end().split_once("ready ").unwrap().1.to_owned();
    // The command has dealt with the signal before the run looks at it, so a second one would be seen.
    kill("-STOP", &run);
    std::io::Write::write_all(&mut keyboard, b"\x03").unwrap();
    for line in lines {
        if line.contains("got INT") {
            kill("-CONT", &run);
            std::thread::sleep(Duration::from_millis(200));
            fs::write(directory.path().join("script.end"), "").unwrap();
        }
        text = text + "\n" + &line;
    }
    drop(keyboard);
    assert_eq!(text.matches("got INT").count(), 1, "{text}");
    assert_eq!(child.wait().unwrap().code(), Some(6), "{text}");
}

#[test]
fn the_command_ends_with_a_run_that_is_killed() {
    let mut run = Run::start(&mut shell(
        "",
        "trap 'echo TERM; exit' TERM; echo $$; while :; do sleep 0.01; done",
    ));
    let pid = run.line();
    run.child.kill().unwrap();
    assert_eq!(run.line(), "TERM");
    assert_eq!(run.wait().signal(), Some(9));
    let process = PathBuf::from(format!("/proc/{pid}"));
    wait_until("the command ends", || !process.exists());
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let script = "echo \"$PROMETHEUS_MULTIPROC_DIR\"; exec sleep 60";
    let mut living = Run::start(&mut shell("", script));
    let mut killed = Run::start(&mut shell("", script));
    let (living_root, killed_root) = (private(&living.line()), private(&killed.line()));
    killed.child.kill().unwrap();
    killed.wait();
    assert!(killed_root.exists(), "nobody could remove it");
    assert!(command("run true").status().unwrap().success());
    assert!(!killed_root.exists(), "the lock is free");
    assert!(
        living_root.join("python/sitecustomize.py").exists(),
        "the lock is held"
    );
    living.signal("-TERM");
    assert_eq!(living.wait().code(), Some(143));
    assert!(!living_root.exists());
}

#[test]
fn nothing_of_others_is_removed() {
    let base = tempfile::tempdir().unwrap();
    let kept = base.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "").unwrap();
    // Neither a link to somebody's directory, nor a file, nor another name.
    std::os::unix::fs::symlink(&kept, base.path().join("forkmeter-run-1-link")).unwrap();
    fs::write(base.path().join("forkmeter-run-2-file"), "").unwrap();
    fs::create_dir(base.path().join("forkmeter-runs")).unwrap();
    fs::create_dir(base.path().join("forkmeter-run-3-stale")).unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let foreign = base.path().join("forkmeter-run-4-foreign");
    if is_root {
        fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::chown(&foreign, Some(65534), None).unwrap();
    }
    assert!(
        command("run true")
            .env("TMPDIR", base.path())
            .status()
            .unwrap()
            .success()
    );
    assert!(kept.join("file").exists());
    assert!(base.path().join("forkmeter-run-2-file").exists());
    assert!(base.path().join("forkmeter-runs").exists());
    assert!(!base.path().join("forkmeter-run-3-stale").exists());
    assert_eq!(foreign.exists(), is_root);
}

#[test]
fn the_exporter_answers_while_the_command_runs() {
    let mut run = Run::start(
        shell(
            "--serve 127.0.0.1:0",
            "echo \"$PROMETHEUS_MULTIPROC_DIR\"; exec sleep 60",
        )
        .stderr(Stdio::piped()),
    );
    let metrics = run.line();
    let mut listening = String::new();
    run.stderr().read_line(&mut listening).unwrap();
    let (_, address) = listening.trim_end().split_once("http://").unwrap();
    let address = address.trim_end_matches('/').to_owned();
    let entries: &[_] = &[("jobs", "jobs_total", &[][..], "Jobs done.", 3.0)];
    write(Path::new(&metrics), "counter_7.db", entries);
    let response = request(&address, "GET", "/metrics", &[]);
    assert!(
        has_line(response.text(), "jobs_total 3.0"),
        "{}",
        response.text()
    );
    run.signal("-TERM");
    assert_eq!(run.wait().code(), Some(143));
    assert!(
        std::net::TcpStream::connect(&address).is_err(),
        "it still listens"
    );
    assert!(!private(&metrics).exists());
}

#[test]
fn an_address_that_is_taken_is_said_before_the_command_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = format!("--serve {}", taken.local_addr().unwrap());
    let output = shell(&options, "echo started").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        stderr(&output).contains("another program does already"),
        "{output:?}"
    );
}

#[test]
fn files_that_appear_at_the_end_do_not_keep_the_directory() {
    // A child that is not waited for goes on writing while the directory is removed.
    let script = "echo \"$PROMETHEUS_MULTIPROC_DIR\"; cd \"$PROMETHEUS_MULTIPROC_DIR\"; \
                  (i=0; while [ $i -lt 400 ]; do : > f$i; i=$((i+1)); done) 2>/dev/null >&2 & :";
    let output = shell("", script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let metrics = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!private(metrics.trim_end()).exists(), "{output:?}");
}
