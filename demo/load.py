"""A bounded client: sends a fixed number of requests from a few threads, and remembers every answer."""

from __future__ import annotations

import http.client
import random
import threading
from collections import Counter
from typing import NamedTuple

THREADS = 8
TIMEOUT_SECONDS = 20
SCRAPE_ROUNDS = 200


class Answered(NamedTuple):
    """What the service's counter is labelled with."""

    method: str
    route: str
    status: str


class Outcome(NamedTuple):
    """What came back from all requests."""

    answered: Counter[Answered]
    failures: list[str]


def one_request(random_source: random.Random) -> tuple[str, str, str]:
    """Returns the method, the path and the route of the next request."""
    share = random_source.random()
    if share < 0.6:
        return "GET", f"/items/{random_source.randrange(1000)}", "/items/{item}"
    if share < 0.8:
        return "POST", "/orders", "/orders"
    if share < 0.95:
        return "GET", "/report", "/report"
    return "GET", "/stock", "/stock"


def scrape_workers(port: int, workers: int) -> dict[str, str]:
    """Scrapes until every worker has answered once, and returns the answers by worker.

    Args:
        port: where the workers listen together.
        workers: how many there are; fewer are returned where some do not answer in `SCRAPE_ROUNDS` rounds.
    """
    seen: dict[str, str] = {}

    def scrape() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/metrics/", headers={"Connection": "close"})
            response = connection.getresponse()
            seen[response.headers["X-Worker"]] = response.read().decode()
        finally:
            connection.close()

    for _ in range(SCRAPE_ROUNDS):
        # Several at once: the kernel gives single connections to the same worker again and again.
        threads = [threading.Thread(target=scrape) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(seen) >= workers:
            break
    return seen


def send(port: int, count: int, *, seed: int = 1) -> Outcome:
    """Sends `count` requests to 127.0.0.1 and waits for all answers.

    Args:
        port: where the service listens.
        count: how many requests to send in all.
        seed: what the mix of requests is made from.
    """
    shares = [count // THREADS + (index < count % THREADS) for index in range(THREADS)]
    outcomes = [Outcome(Counter(), []) for _ in shares]
    threads = [
        threading.Thread(target=send_share, args=(port, share, seed + index, outcomes[index]))
        for index, share in enumerate(shares)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Outcome(
        sum((outcome.answered for outcome in outcomes), Counter()),
        [failure for outcome in outcomes for failure in outcome.failures],
    )


def send_share(port: int, count: int, seed: int, outcome: Outcome) -> None:
    """Sends one thread's share; each request on its own connection, so that every worker gets its part."""
    random_source = random.Random(seed)  # noqa: S311 - a mix of requests, no secret
    for _ in range(count):
        method, path, route = one_request(random_source)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            outcome.failures.append(f"{method} {path}: {error!r}")
        else:
            outcome.answered[Answered(method, route, str(response.status))] += 1
        finally:
            connection.close()
