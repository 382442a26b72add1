"""Times what Rust programs call, forkmeter's and other crates'.

python benches/rust.py --bin-dir target/release
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from table import Row, emit

# What is asked for, by the program and the peer; programs print one line per comparison.
ASKED = {
    "counting": {"prometheus 0.14": 2, "prometheus-client 0.25": 2},
    "text": {"measured 0.0.25": 4, "prometheus-client 0.25": 4},
}
UNITS = {"counting": "ns", "text": "ms"}


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, required=True, help="where the release programs are")
    folder = parser.parse_args().bin_dir
    for program, asked in ASKED.items():
        done = subprocess.run([str(folder / program)], check=True, stdout=subprocess.PIPE, text=True)
        for line in done.stdout.splitlines():
            row = json.loads(line)
            theirs, ours = ([number / 1e9 for number in row[side]] for side in ("theirs", "ours"))
            emit(Row(row["case"], row["peer"], theirs, ours, UNITS[program], asked[row["peer"]]))


if __name__ == "__main__":
    main()
