"""`forkmeter run`: programs that import the official client and know nothing of forkmeter get forkmeter."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import IO

    from typing_extensions import Self

APPS = Path(__file__).resolve().parent / "apps"
T = TypeVar("T")
TIMEOUT_SECONDS = 60
REQUESTS = 60


@pytest.fixture(scope="session", autouse=True)
def forkmeter() -> None:
    """Skips where the package is not installed."""
    program = [sys.executable, "-c", "import forkmeter"]
    if subprocess.run(program, check=False, capture_output=True, env=environment(), timeout=60).returncode:
        skip(f"forkmeter is not installed for {sys.executable}")


def mirror(environment: Path, *, without: str) -> Path:
    """Makes an environment with all that is installed for this interpreter but one thing; returns its interpreter.

    Args:
        environment: where to make it.
        without: how the names in `site-packages` begin that are left out.
    """
    builder = venv.EnvBuilder(symlinks=True)
    builder.create(environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith((without, "__")):
            (packages / entry.name).symlink_to(entry)
    return environment / "bin" / "python"


@pytest.fixture(scope="session", params=["absent", "present"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns an interpreter with forkmeter, without and with the official client."""
    if request.param == "absent":
        return mirror(tmp_path_factory.mktemp("absent") / "venv", without="prometheus_client")
    if not Path(sysconfig.get_path("purelib"), "prometheus_client").is_dir():
        skip(f"the official client is not installed for {sys.executable}")
    return Path(sys.executable)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns an interpreter without forkmeter."""
    return mirror(tmp_path_factory.mktemp("bare") / "venv", without="forkmeter")


def environment(**more: str) -> dict[str, str]:
    """Returns variables for a run; the interpreter that runs the tests may have a path that hides things."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PROMETHEUS"))}
    return {**variables, **more}


def run(*arguments: str | Path, options: Sequence[str] = (), **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `forkmeter run OPTIONS -- ARGUMENTS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "forkmeter", "run", *options, "--", *map(str, arguments)],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environment(**variables),
        timeout=TIMEOUT_SECONDS,
    )


class Service:
    """A run of a server with the exporter beside it."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        """Starts it and waits until both listen.

        Args:
            command: the server and its arguments.
            log: the file that takes what all of them say.
        """
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "forkmeter", "run", "--serve", "127.0.0.1:0", "--", *command],
                cwd=APPS,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self.exporter = self.find(r"listening url=(http://[\d.:]+)/")
            self.server = self.find(r"(?:running on|Listening at:) (http://[\d.:]+)")
            # uvicorn says so before its workers listen.
            until(self.answers, log)
        except BaseException:
            self.__exit__()
            raise

    def answers(self) -> bool:
        """Tells whether the server takes connections."""
        host, port = self.server.removeprefix("http://").split(":")
        try:
            socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS).close()
        except ConnectionRefusedError:
            return False
        return True

    def find(self, pattern: str) -> str:
        """Waits for a line of the log and returns what the group in the pattern matches."""
        found = until(lambda: re.search(pattern, self.log.read_text("utf-8")), self.log)
        assert found is not None
        return found[1]

    def directory(self) -> Path:
        """Returns the private directory."""
        (cmdline,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii").split()
        variables = Path(f"/proc/{cmdline}/environ").read_bytes().split(b"\0")
        (metrics,) = (value[25:] for value in variables if value.startswith(b"PROMETHEUS_MULTIPROC_DIR="))
        return Path(metrics.decode()).parent

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kills whatever is still there."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def until(look: Callable[[], T], log: Path) -> T:
    """Waits until `look` finds something and returns that."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing found in time; the log says:\n{log.read_text('utf-8')}")


def get(url: str) -> str:
    """Asks on a connection of its own, so that any worker may answer."""
    response: IO[bytes]
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        return response.read().decode()


def ask_all_workers(service: Service, *, workers: int) -> int:
    """Sends requests until every worker answered one; returns how many were sent."""
    pids: set[int] = set()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    sent = 0
    while len(pids) < workers or sent < REQUESTS:
        assert time.monotonic() < deadline, f"only {pids} answered:\n{service.log.read_text('utf-8')}"
        pid, client = json.loads(get(service.server + "/a"))
        sent += 1
        assert Path(client).parent.name == "forkmeter", client
        pids.add(pid)
    assert len(pids) == workers
    return sent


SERVERS = {
    "uvicorn": ["-m", "uvicorn", "--workers", "2", "--port", "0", "--lifespan", "off", "service:asgi"],
    "gunicorn": ["-m", "gunicorn", "--workers", "2", "--bind", "127.0.0.1:0", "service:wsgi"],
}


@pytest.fixture(params=SERVERS)
def service(request: pytest.FixtureRequest, python: Path, tmp_path: Path) -> Generator[Service]:
    """Runs a server with two workers."""
    if importlib.util.find_spec(request.param) is None:
        skip(f"{request.param} is not installed")
    with Service([str(python), *SERVERS[request.param]], tmp_path / "log") as running:
        yield running


def test_every_worker_shows_the_numbers_of_all(service: Service) -> None:
    sent = ask_all_workers(service, workers=2)
    private = service.directory()
    lines = {f'requests_total{{path="/a"}} {float(sent)}', "workers 2.0"}
    for base in [service.server] * 8 + [service.exporter]:
        text = get(base + "/metrics")
        assert lines <= set(text.splitlines()), f"{base}\n{text}"
    service.process.terminate()
    code = service.process.wait(TIMEOUT_SECONDS)
    log = service.log.read_text("utf-8")
    assert code == 0, log
    assert "warning" not in log
    assert not private.exists()


def test_gunicorn_adds_a_worker_on_a_signal(tmp_path: Path) -> None:
    if importlib.util.find_spec("gunicorn") is None:
        skip("gunicorn is not installed")
    with Service([sys.executable, *SERVERS["gunicorn"]], tmp_path / "log") as service:
        ask_all_workers(service, workers=2)
        service.process.send_signal(signal.SIGTTIN)
        until(lambda: re.search("^workers 3.0$", get(service.exporter + "/metrics"), re.MULTILINE), service.log)
        service.process.send_signal(signal.SIGTTOU)
        until(lambda: re.search("^workers 2.0$", get(service.exporter + "/metrics"), re.MULTILINE), service.log)
        service.process.terminate()
        assert service.process.wait(TIMEOUT_SECONDS) == 0


def test_processes_of_multiprocessing_have_it_too(python: Path) -> None:
    done = run(python, APPS / "spawning.py")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    for method in ("fork", "spawn", "forkserver"):
        assert f'jobs_total{{method="{method}"}} 6.0\n' in done.stdout, done.stdout


def test_interpreters_load_nothing_for_it() -> None:
    program = "import sys; print(*sys.modules); print(*sys.path)"
    plain = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        encoding="utf-8",
        env=environment(),
        timeout=60,
    )
    modules, path = run(sys.executable, "-c", program).stdout.splitlines()
    plain_modules, plain_path = plain.stdout.splitlines()
    assert set(modules.split()) - set(plain_modules.split()) <= {"sitecustomize"}
    assert path == plain_path


def test_a_sitecustomize_of_the_project_still_runs() -> None:
    program = "import sitecustomize as s, prometheus_client as p; print(s.CUSTOMIZED); print(p.__file__)"
    done = run(sys.executable, "-c", program, PYTHONPATH=str(APPS / "elsewhere"))
    assert not done.stderr
    customized, client = done.stdout.splitlines()
    assert customized == "True"
    assert Path(client).parent.name == "forkmeter"


def test_without_forkmeter_the_program_runs_and_is_warned_of_once(bare: Path) -> None:
    program = (
        "import os, subprocess, sys\n"
        "try:\n import prometheus_client\nexcept ModuleNotFoundError:\n print('absent')\nelse:\n print('present')\n"
        "if len(sys.argv) == 1: sys.exit(subprocess.call([sys.executable, '-c', sys.stdin.read(), 'child']) or 5)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "forkmeter", "run", "--", bare, "-c", program],
        input=program,
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environment(),
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 5, done.stderr
    first, second = done.stdout.split()
    assert first == second
    (warning,) = done.stderr.splitlines()
    assert warning.startswith(
        f"forkmeter: warning: prometheus_client is not replaced by forkmeter in {bare}: No module"
    )
    # Who does not want metrics hears nothing.
    assert not run(bare, "-c", "import json").stderr


def test_workers_that_stay_keep_the_directory(tmp_path: Path) -> None:
    # The command ends once its worker counted, and the worker goes on.
    script = f"{sys.executable} {APPS / 'staying.py'} >line 2>&1 & until [ -s line ]; do sleep 0.02; done"
    started = run("sh", "-c", f"cd {tmp_path}; {script}")
    metrics, pid = (tmp_path / "line").read_text("utf-8").split()
    private = Path(metrics).parent
    try:
        assert started.returncode == 0
        assert f"processes of the command are still running, so {private} stays" in started.stderr
        assert not run("true").stderr
        assert list(Path(metrics).glob("counter*.db")), "the next run removed what is in use"
    finally:
        os.kill(int(pid), signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), tmp_path / "line")
    assert not run("true").stderr
    assert not private.exists()


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_isolated_interpreters_run_as_they_are(bare: Path, option: str) -> None:
    done = run(bare, option, "-c", "import sys; print('sitecustomize' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_the_command_of_the_package_is_the_command() -> None:
    done = run(options=["--help"])
    assert done.returncode == 0
    assert done.stdout.startswith("Run a command with forkmeter in the place of prometheus_client")
    assert "Usage: forkmeter run" in done.stdout
    done = run("sh", "-c", "kill -USR1 $$")
    assert done.returncode == 128 + signal.SIGUSR1


def test_ctrl_c_gives_no_traceback() -> None:
    script = "trap 'exit 7' INT; echo; while :; do sleep 0.01; done"
    command = [sys.executable, "-m", "forkmeter", "run", "--", "sh", "-c", script]
    process = subprocess.Popen(
        # A test run in the background of a shell ignores the signal, and so would all that it starts.
        ["env", "--default-signal=INT", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, stderr) == (7, b"")
