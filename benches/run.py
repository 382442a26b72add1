"""Makes the table of all benchmarks: what forkmeter takes beside its peers, in one run, and what is asked of it.

python benches/run.py --bin-dir target/release            # all, written into benches/results
python benches/run.py --bin-dir target/release calls text # some of them, printed only
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from table import Row, markdown

HERE = Path(__file__).parent
RESULTS = HERE / "results"
# The programs that print rows, in the table's order; whether they want the folder of the release programs.
PROGRAMS = {
    "calls": False,
    "memory": False,
    "scrape_memory": False,
    "import_time": False,
    "scrape": True,
    "worker_churn": False,
    "named": False,
    "text": False,
    "rust": True,
    "http_fastapi": False,
    "exporter_load": True,
}


def rows_of(name: str, bin_dir: Path) -> list[Row]:
    """Runs one program and returns its rows.

    Raises:
        subprocess.CalledProcessError: It failed: both sides did not give the same, for one.
    """
    print(f"{name} ...", file=sys.stderr)
    options = ["--bin-dir", str(bin_dir)] if PROGRAMS[name] else []
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "tests")}
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    rows = [Row(**json.loads(line)) for line in done.stdout.splitlines()]
    print(markdown(rows), file=sys.stderr)
    return rows


def machine() -> str:
    """Names what the figures depend on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text("ascii").splitlines():
        if line.startswith("model name"):
            model = line.partition(": ")[2]
            break
    return (
        f"{os.cpu_count()} processors ({model}), Linux {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def commit() -> str:
    """Returns the commit that is checked out, with a mark where files were changed since."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"], check=True, capture_output=True, text=True, cwd=HERE
    ).stdout.strip()


def main() -> int:
    """Prints the table; returns 1 where a ratio that is asked for is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, required=True, help="where the release programs are")
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[*PROGRAMS, []], help=f"of {', '.join(PROGRAMS)}")
    options = parser.parse_args()
    rows = [row for name in options.rows or PROGRAMS for row in rows_of(name, options.bin_dir)]
    now = datetime.now(timezone.utc)
    text = f"{machine()}; commit {commit()}, {now:%Y-%m-%d}\n\n{markdown(rows)}"
    print(text)
    if not options.rows:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{now:%Y-%m-%d}.md"
        path.write_text(text, "utf-8")
        print(f"written to {path}", file=sys.stderr)
    return 0 if all(row.is_reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
