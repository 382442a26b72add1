"""Makes counters and scrapes them, for `benches/scrape_memory.py`: CLIENT SERIES.

Prints the most memory that a repeated scrape had above what was resident before, the length of its text, and a digest.
"""

import ctypes
import gc
import hashlib
import importlib
import json
import sys
from pathlib import Path

client = importlib.import_module(sys.argv[1])
client.disable_created_metrics()
registry = client.REGISTRY
for collector in list(registry._collector_to_names):  # noqa: SLF001 -- there is no other way
    registry.unregister(collector)
requests = client.Counter("http_requests", "Requests.", ["method", "path"])
for number in range(int(sys.argv[2])):
    requests.labels("GET", f"/api/v1/items/{number}").inc(number % 1000 + 1)


def status_bytes(field: str) -> int:
    """Returns what the kernel says of this process's memory."""
    return int(Path("/proc/self/status").read_text("ascii").partition(f"{field}:")[2].split()[0]) * 1024


client.generate_latest(registry)
client.generate_latest(registry)
gc.collect()
# What earlier scrapes gave back counts as taken again.
ctypes.CDLL(None).malloc_trim(0)
Path("/proc/self/clear_refs").write_text("5", "ascii")
before = status_bytes("VmRSS")
text = client.generate_latest(registry)
peak = status_bytes("VmHWM")
lines = sorted(line for line in text.splitlines() if not line.startswith((b"#", b"forkmeter_")))
digest = hashlib.sha256(b"".join(lines)).hexdigest()
print(json.dumps({"peak": max(peak - before, 1), "text": len(text), "digest": digest}))
