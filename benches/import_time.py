"""Times `import forkmeter` against `import prometheus_client`, in one run, taking turns.

Each interpreter has one of the two installed, with its bytecode compiled, as pip leaves it. What an interpreter loads
when it starts does not count:

    python benches/import_time.py --forkmeter ENV/bin/python --official OTHER/bin/python
"""

import argparse
import os
import statistics
import subprocess

RUNS = 21
MAX_SHARE = 1 / 3


def import_microseconds(python: str, module: str) -> dict[str, int]:
    """Returns what `-X importtime` says of every module that an import loads, without those that it loads in turn.

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
    times = {}
    for line in done.stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            times[name.strip()] = int(own)
    if module not in times:
        raise SystemExit(f"{python} did not import {module}: {done.stderr}")
    return times


def sum_without(times: dict[str, int], others: set[str]) -> int:
    """Returns the sum of the times of modules that are not among others."""
    return sum(time for name, time in times.items() if name not in others)


def main() -> None:
    """Prints both times and fails where ours is more than a third."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forkmeter", required=True, type=os.path.abspath, help="interpreter that has forkmeter")
    parser.add_argument(
        "--official", required=True, type=os.path.abspath, help="interpreter that has prometheus_client"
    )
    options = parser.parse_args()
    sides = {"prometheus_client": options.official, "forkmeter": options.forkmeter}
    runs: dict[str, list[dict[str, int]]] = {module: [] for module in sides}
    for _ in range(RUNS):
        for module, python in sides.items():
            runs[module].append(import_microseconds(python, module))
    totals = {}
    for module, python in sides.items():
        always = set(import_microseconds(python, "site"))
        median = statistics.median(sum_without(times, always) for times in runs[module])
        # Each module's least: on a busy machine hardly any run is undisturbed from its beginning to its end.
        least = {name: min(times[name] for times in runs[module] if name in times) for name in runs[module][0]}
        totals[module] = sum_without(least, always)
        print(f"import {module}: {totals[module] / 1000:.1f} ms undisturbed, median {median / 1000:.1f} ms")
    share = totals["forkmeter"] / totals["prometheus_client"]
    print(f"share: {share:.2f}, aim: at most {MAX_SHARE:.2f}")
    if share > MAX_SHARE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
