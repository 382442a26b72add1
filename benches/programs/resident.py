"""Makes many series and prints the bytes that they take, and the sum of all counts: CLIENT COUNTERS HISTOGRAMS."""

import gc
import importlib
import json
import sys
from pathlib import Path

client = importlib.import_module(sys.argv[1])
counters, histograms = map(int, sys.argv[2:])
registry = client.CollectorRegistry()
requests = client.Counter("http_requests", "Requests.", ["method", "path"], registry=registry)
seconds = client.Histogram("http_seconds", "Seconds.", ["path"], registry=registry)
paths = [f"/api/v1/items/{number}" for number in range(counters)]


def resident_bytes() -> int:
    """Returns the memory of this process, files that it maps included."""
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


requests.labels("GET", "/").inc()
seconds.labels("/").observe(0.3)
before = resident_bytes()
for path in paths:
    requests.labels("GET", path).inc()
for path in paths[:histograms]:
    seconds.labels(path).observe(0.3)
taken = resident_bytes() - before
total = sum(
    sample.value
    for family in registry.collect()
    for sample in family.samples
    if sample.name.endswith(("_total", "_count", "_bucket"))
)
print(json.dumps([taken, total]))
