"""Counts as one worker of the fleet that `benches/scrape.py` makes: CLIENT WORKER COUNTERS HISTOGRAMS."""

import importlib
import random
import sys

client = importlib.import_module(sys.argv[1])
worker, counters, histograms = map(int, sys.argv[2:])
rng = random.Random(worker)  # noqa: S311 -- numbers to count
requests = client.Counter("http_requests", "Requests that were answered.", ["method", "path", "status"])
for i in range(counters):
    method, status = ("GET", "POST", "PUT", "DELETE")[i % 4], ("200", "404", "500")[i % 3]
    requests.labels(method, f"/api/v1/items/{i}", status).inc(rng.randrange(1, 10_000))
seconds = client.Histogram("http_request_duration_seconds", "Seconds that a request took.", ["path"])
for i in range(histograms):
    child = seconds.labels(f"/api/v1/items/{i}")
    for _ in range(20):
        child.observe(rng.expovariate(5))
