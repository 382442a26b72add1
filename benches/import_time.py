"""Times `import forkmeter` against `import prometheus_client`, in one run, taking turns.

Each interpreter has one of the two installed, with its bytecode compiled, as pip leaves it:

    python benches/import_time.py --forkmeter ENV/bin/python --official OTHER/bin/python
"""

import argparse
import os
import statistics
import subprocess

RUNS = 21
MAX_SHARE = 1 / 3


def import_microseconds(python: str, module: str) -> int:
    """Returns what `-X importtime` says of a module, with all that it imports.

    Args:
        python: the interpreter.
        module: the module.
    """
    # In a directory of its own, so that no package lies there.
    done = subprocess.run(
        [python, "-X", "importtime", "-c", f"import {module}"],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )
    last = done.stderr.splitlines()[-1]
    _, cumulative, name = last[len("import time:") :].split("|")
    if name.strip() != module:
        raise SystemExit(f"{python} did not import {module}: {last}")
    return int(cumulative)


def main() -> None:
    """Prints both medians and fails where ours is more than a third."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forkmeter", required=True, help="interpreter that has forkmeter")
    parser.add_argument("--official", required=True, help="interpreter that has prometheus_client")
    options = parser.parse_args()
    sides = {"prometheus_client": options.official, "forkmeter": options.forkmeter}
    times: dict[str, list[int]] = {module: [] for module in sides}
    for _ in range(RUNS):
        for module, python in sides.items():
            times[module].append(import_microseconds(python, module))
    medians = {module: statistics.median(values) for module, values in times.items()}
    for module, median in medians.items():
        print(f"import {module}: median {median / 1000:.1f} ms, least {min(times[module]) / 1000:.1f} ms")
    share = medians["forkmeter"] / medians["prometheus_client"]
    print(f"share: {share:.2f}, aim: at most {MAX_SHARE:.2f}")
    if share > MAX_SHARE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
