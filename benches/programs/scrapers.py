"""Scrapes an exporter from many connections at once, for `benches/exporter_load.py`: PORT SCRAPERS SECONDS ENCODING.

Each scraper asks again as soon as it is answered, until the time is over. Prints the seconds of each answer, the length
of the last one, and how many scrapers were waiting in the end.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time

# As much as a scraper takes out of a socket at once.
CHUNK_BYTES = 1 << 18


class Scraper:
    """Is one connection, which is made anew where the other side closed it."""

    def __init__(self, port: int, encoding: str, deadline: float) -> None:
        """Takes where to connect to."""
        self._address = ("127.0.0.1", port)
        accept = f"Accept-Encoding: {encoding}\r\n" if encoding != "identity" else ""
        self._request = f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/plain\r\n{accept}\r\n".encode()
        self._deadline = deadline
        self._socket: socket.socket | None = None
        self._buffer = bytearray(CHUNK_BYTES)

    def scrape(self) -> tuple[int, bytes]:
        """Asks once, and returns the length of the body, and its first bytes.

        Raises:
            TimeoutError: The time is over.
        """
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
        self._socket.sendall(self._request)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._receive()
        head, _, body = head.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        if b" 200 " not in lines[0] + b" ":
            raise SystemExit(f"an answer says {lines[0]!r}")
        fields = dict(line.split(b": ", 1) for line in lines[1:])
        size = len(body)
        if b"content-length" in fields:
            wanted = int(fields[b"content-length"])
            while size < wanted:
                size += len(self._receive())
        else:
            while piece := self._receive():
                size += len(piece)
        if lines[0].startswith(b"http/1.0") or fields.get(b"connection") == b"close":
            self._socket.close()
            self._socket = None
        return size, body[:2]

    def _receive(self) -> memoryview:
        assert self._socket is not None
        left = self._deadline - time.perf_counter()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return memoryview(self._buffer)[: self._socket.recv_into(self._buffer)]


def main() -> None:
    """Prints what they saw."""
    port, scrapers, seconds, encoding = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    deadline = time.perf_counter() + seconds
    taken: list[float] = []
    sizes: set[int] = set()
    waiting: list[float] = []

    def work() -> None:
        scraper = Scraper(port, encoding, deadline)
        while time.perf_counter() < deadline:
            began = time.perf_counter()
            try:
                size, start = scraper.scrape()
            except TimeoutError:
                waiting.append(time.perf_counter() - began)
                return
            if (start == b"\x1f\x8b") != (encoding == "gzip"):
                # There is nobody to raise it to.
                os._exit(1)
            taken.append(time.perf_counter() - began)
            sizes.add(size)

    began = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(scrapers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lasted = time.perf_counter() - began
    print(json.dumps({"taken": taken, "size": max(sizes, default=0), "waiting": waiting, "lasted": lasted}))


if __name__ == "__main__":
    main()
