"""Lets several workers count the same, one after the other, for `benches/directories.py`.

CLIENT WORKERS TIMES COUNTERS HISTOGRAMS: the counters are those that `directories.counter_entries` writes, and each
worker counts them so many times.
"""

import importlib
import os
import sys

client = importlib.import_module(sys.argv[1])
workers, times, counters, histograms = map(int, sys.argv[2:])
requests = client.Counter("http_requests", "Requests that were answered.", ["method", "path"])
seconds = client.Histogram("http_request_duration_seconds", "Seconds that a request took.", ["path"])
for _ in range(workers):
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(1)
        continue
    for number in range(counters):
        requests.labels("GET", f"/api/v1/items/{number}").inc(times * (number % 1000 + 1))
    for number in range(histograms):
        # Sums of these are exact.
        for value in (0.25, 0.5, 4.0):
            seconds.labels(f"/api/v1/items/{number}").observe(value)
    os._exit(0)
