"""Runs the official client's own tests, unmodified, against forkmeter.

The sdist comes from the package index with pip; its tests run in a virtual environment of their own that has our
wheel and not the official client. Nothing of it is kept in the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

VERSION = "0.26.0"
HERE = Path(__file__).resolve().parent
TIMEOUT_SECONDS = 900


def run(*command: str | Path, **options: object) -> None:
    """Runs a command to its end; one that fails ends the run."""
    subprocess.run([str(part) for part in command], check=True, **options)  # type: ignore[call-overload]


def make_environment(build: Path, wheel: Path) -> Path:
    """Makes the environment where requirements changed, installs the wheel and returns the interpreter."""
    environment = build / "venv"
    python = environment / "bin" / "python"
    requirements = HERE / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = build / "requirements.sha256"
    if not python.exists() or not stamp.exists() or stamp.read_text("utf-8") != wanted:
        shutil.rmtree(environment, ignore_errors=True)
        run(sys.executable, "-m", "venv", environment)
        run(python, "-m", "pip", "install", "--quiet", "--requirement", requirements)
        stamp.write_text(wanted, "utf-8")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel)
    return python


def unpack_tests(build: Path, python: Path) -> Path:
    """Downloads the sdist where it is missing, and returns a fresh directory with `tests/` in it."""
    sdist = build / f"prometheus_client-{VERSION}.tar.gz"
    if not sdist.exists():
        run(
            *(python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"),
            *("--dest", build, f"prometheus_client=={VERSION}"),
        )
    suite = build / "suite"
    shutil.rmtree(suite, ignore_errors=True)
    suite.mkdir()
    top = f"prometheus_client-{VERSION}/"
    with tarfile.open(sdist) as archive:
        # The package itself stays packed, so that it cannot be imported by accident.
        for member in archive.getmembers():
            if member.name.startswith(top + "tests/"):
                member.name = member.name[len(top) :]
                if hasattr(tarfile, "data_filter"):
                    archive.extract(member, suite, filter="data")
                else:
                    archive.extract(member, suite)
    return suite


def main() -> int:
    """Runs the suite and returns pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="our wheel")
    parser.add_argument("--build-dir", type=Path, required=True, help="where to keep the environment and the sdist")
    parser.add_argument("tests", nargs="*", default=["tests"], help="which tests (default: all)")
    arguments = parser.parse_args()
    build = arguments.build_dir.resolve()
    build.mkdir(parents=True, exist_ok=True)
    python = make_environment(build, arguments.wheel.resolve())
    suite = unpack_tests(build, python)
    variables = {name: value for name, value in os.environ.items() if not name.lower().startswith("prometheus_")}
    variables["PYTHONPATH"] = str(HERE)
    command = [str(python), "-m", "pytest", "-p", "official_alias", "-p", "no:cacheprovider", "-q"]
    command += ["-r", "fExX", "--rootdir", str(suite), *arguments.tests]
    return subprocess.run(command, cwd=suite, env=variables, check=False, timeout=TIMEOUT_SECONDS).returncode


if __name__ == "__main__":
    sys.exit(main())
