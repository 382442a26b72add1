"""A WSGI server of `multiprocessing` processes: `METHOD PORT WORKERS MAX_REQUESTS`."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import sys
from multiprocessing.connection import wait
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from wsgi_app import application


class SharedListener(WSGIServer):
    """Accepts on a socket that other processes accept on too."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), WSGIRequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()
        self.setup_environ()
        self.set_app(application)


def serve(listener: socket.socket, max_requests: int) -> None:
    """Answers some requests, and ends."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    server = SharedListener(listener)
    for _ in range(max_requests):
        server.handle_request()


def main() -> None:
    """Keeps the wanted number of processes alive until SIGTERM."""
    method, port, workers, max_requests = sys.argv[1], *map(int, sys.argv[2:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        # Then metrics are made in the server from which all workers are forked.
        context.set_forkserver_preload(["wsgi_app"])
    with socket.create_server(("127.0.0.1", port), backlog=100) as listener:
        processes: list[multiprocessing.process.BaseProcess] = []
        while True:
            processes = [process for process in processes if process.is_alive()]
            while len(processes) < workers:
                # Daemons are ended with this process.
                process = context.Process(target=serve, args=(listener, max_requests), daemon=True)  # type: ignore[attr-defined]
                process.start()
                processes.append(process)
            wait([process.sentinel for process in processes])


if __name__ == "__main__":
    main()
