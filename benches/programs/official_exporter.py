"""Serves a directory as the official client does, for `benches/exporter_load.py`: DIRECTORY; prints the port."""

import sys
import threading

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

registry = CollectorRegistry()
MultiProcessCollector(registry, path=sys.argv[1])
server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
print(f"http://127.0.0.1:{server.server_port}/", file=sys.stderr, flush=True)
assert isinstance(thread, threading.Thread)
thread.join()
