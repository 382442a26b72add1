"""Names of families and labels: our own, and those of packages whose dashboards should go on working."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..metrics import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal, Union

    Quantity = Literal["requests", "duration", "in_progress", "request_size", "response_size"]
    Kind = Literal["counter", "gauge", "histogram", "summary"]
    Part = Literal["method", "route", "status"]
    Buckets = Sequence[Union[float, str]]

_ALL: tuple[Part, ...] = ("method", "route", "status")
_SIZES = (100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)


@dataclass(frozen=True)
class Family:
    """Describes one family.

    Args:
        quantity: What is measured; two families may measure the same.
        name: Its name.
        documentation: Help text.
        kind: Its type. Of requests there are counters only, of those in progress gauges only, of durations histograms
            and summaries, and of sizes also counters of bytes.
        labels: What its labels say, each once. Of requests that are in progress nobody knows the status.
        buckets: Upper bounds of a histogram.
        has_custom: Whether it has the labels that the program adds. Families of requests in progress have only those
            with a constant value.
    """

    quantity: Quantity
    name: str
    documentation: str
    kind: Kind = "histogram"
    labels: Sequence[Part] = _ALL
    buckets: Buckets = Histogram.DEFAULT_BUCKETS
    has_custom: bool = True

    def __post_init__(self) -> None:
        """Refuses what cannot be measured.

        Raises:
            ValueError: The type does not fit the quantity, or there is a status where nobody knows it.
        """
        fitting = {
            "requests": ("counter",),
            "in_progress": ("gauge",),
            "duration": ("histogram", "summary"),
        }.get(self.quantity, ("counter", "histogram", "summary"))
        if self.kind not in fitting:
            raise ValueError(f"{self.name}: {self.quantity} cannot be a {self.kind}; {' or '.join(fitting)} can")
        if self.quantity == "in_progress" and "status" in self.labels:
            raise ValueError(f"{self.name}: the status of a request in progress is not known")


@dataclass(frozen=True)
class Names:
    """Describes all families.

    Args:
        families: The families.
        labels: What the labels are called.
        status: Whether a status is written as `404` or as `4xx`.
        unmatched: The route of requests that no route matches; with `None` they do not count.
        cancelled: The status of requests that nobody waits for any more, before there was a response.
        constants: Labels of all families whose values are always the same.
    """

    families: Sequence[Family]
    labels: Mapping[Part, str] = field(default_factory=dict)
    status: Literal["code", "class"] = "code"
    unmatched: str | None = "unmatched"
    cancelled: str = "cancelled"
    constants: Mapping[str, str] = field(default_factory=dict)


FORKMETER = Names(
    (
        Family("requests", "http_requests", "HTTP requests that ended.", "counter"),
        Family(
            "duration",
            "http_request_duration_seconds",
            "Time from an HTTP request to the end of its response.",
        ),
        Family(
            "request_size",
            "http_request_size_bytes",
            "What was read of the bodies of HTTP requests.",
            buckets=_SIZES,
        ),
        Family(
            "response_size",
            "http_response_size_bytes",
            "What was taken of the bodies of HTTP responses.",
            buckets=_SIZES,
        ),
        Family(
            "in_progress",
            "http_requests_in_progress",
            "HTTP requests that are being answered.",
            "gauge",
            ("method", "route"),
        ),
    )
)


def instrumentator(namespace: str = "", subsystem: str = "", *, in_progress: bool | Sequence[Part] = False) -> Names:
    """Returns the names that prometheus-fastapi-instrumentator uses.

    Args:
        namespace: Its `metric_namespace`.
        subsystem: Its `metric_subsystem`.
        in_progress: Whether to have `http_requests_inprogress`, or with which labels.
    """
    prefix = "".join(f"{part}_" for part in (namespace, subsystem) if part)
    many = (0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60)
    families = [
        Family(
            "requests",
            f"{prefix}http_requests",
            "Total number of requests by method, status and handler.",
            "counter",
            ("method", "status", "route"),
        ),
        Family(
            "request_size",
            f"{prefix}http_request_size_bytes",
            "What was read of the bodies of requests, by handler.",
            "summary",
            ("route",),
        ),
        Family(
            "response_size",
            f"{prefix}http_response_size_bytes",
            "What was sent of the bodies of responses, by handler.",
            "summary",
            ("route",),
        ),
        Family(
            "duration",
            f"{prefix}http_request_duration_highr_seconds",
            "Latency, with many buckets and no labels.",
            labels=(),
            buckets=many,
            has_custom=False,
        ),
        Family(
            "duration",
            f"{prefix}http_request_duration_seconds",
            "Latency by method and handler, with few buckets.",
            labels=("method", "route"),
            buckets=(0.1, 0.5, 1),
        ),
    ]
    if in_progress is not False:
        labels = () if in_progress is True else in_progress
        families.append(
            Family(
                "in_progress",
                "http_requests_inprogress",
                "Number of HTTP requests in progress.",
                "gauge",
                labels,
                has_custom=False,
            )
        )
    return Names(tuple(families), {"route": "handler"}, status="class", unmatched="none", cancelled="5xx")


def starlette_exporter(
    app_name: str = "starlette",
    prefix: str = "starlette",
    *,
    unhandled_paths: bool = False,
    body_sizes: bool = False,
) -> Names:
    """Returns the names that starlette_exporter uses.

    Args:
        app_name: Its `app_name`.
        prefix: Its `prefix`.
        unhandled_paths: Its `group_unhandled_paths`: whether requests that no route matches count, as `__unknown__`.
        body_sizes: Whether to have its optional metrics of body sizes.
    """
    families = [
        Family("requests", f"{prefix}_requests", "Total HTTP requests", "counter"),
        Family("duration", f"{prefix}_request_duration_seconds", "HTTP request duration, in seconds"),
        Family(
            "in_progress",
            f"{prefix}_requests_in_progress",
            "Total HTTP requests currently in progress",
            "gauge",
            ("method",),
        ),
    ]
    if body_sizes:
        families += [
            Family("response_size", f"{prefix}_response_body_bytes", "Total HTTP response body bytes", "counter"),
            Family("request_size", f"{prefix}_request_body_bytes", "Total HTTP request body bytes", "counter"),
        ]
    return Names(
        tuple(families),
        {"route": "path", "status": "status_code"},
        unmatched="__unknown__" if unhandled_paths else None,
        cancelled="499",
        constants={"app_name": app_name},
    )


INSTRUMENTATOR = instrumentator()
STARLETTE_EXPORTER = starlette_exporter()

_BY_NAME = {"forkmeter": FORKMETER, "instrumentator": INSTRUMENTATOR, "starlette_exporter": STARLETTE_EXPORTER}


def find(names: str | Names) -> Names:
    """Returns names by their name.

    Raises:
        ValueError: There are none of that name.
    """
    if isinstance(names, Names):
        return names
    try:
        return _BY_NAME[names]
    except KeyError:
        raise ValueError(f"there are no names called {names!r}; there are {', '.join(_BY_NAME)}") from None
