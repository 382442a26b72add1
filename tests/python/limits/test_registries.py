"""Registries, filters, gateways and identities with several workers: each program here has a directory of its own."""

from __future__ import annotations

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import forkmeter
from forkmeter import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    generate_latest,
    push_to_gateway,
    values,
)
from forkmeter.multiprocess import MultiProcessCollector, mark_process_dead

from support.alone import Staying, alone, in_worker


def lines(registry: object, name: str) -> list[str]:
    """Returns the samples of an exposition whose names begin so, without created times."""
    written = generate_latest(registry).decode().splitlines()  # type: ignore[arg-type]
    return [line for line in written if line.startswith(name) and "_created" not in line]


def reads() -> int:
    """Returns how many bytes this process has read so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(fields["rchar"])


@alone
def test_registries_keep_apart() -> None:
    inner = CollectorRegistry()
    jobs = Counter("jobs", "Jobs.")
    other = Counter("other", "Other.", registry=inner)
    in_worker(jobs.inc, other.inc)
    jobs.inc()
    assert lines(REGISTRY, "jobs") == ["jobs_total 2.0"]
    assert lines(REGISTRY, "other") == []
    assert lines(inner, "jobs") == []


@alone
def test_no_duplicates_whatever_is_combined() -> None:
    registry = CollectorRegistry()
    before = Counter("before", "Registered before the collector.", registry=registry)
    collector = MultiProcessCollector(registry)
    MultiProcessCollector(registry, os.environ["PROMETHEUS_MULTIPROC_DIR"])
    after = Counter("after", "Registered after the collector.", registry=registry)
    in_worker(before.inc, after.inc)
    before.inc()
    for found in (registry, registry.restricted_registry(["before_total", "after_total"])):
        assert lines(found, "before") == ["before_total 2.0"]
        assert lines(found, "after") == ["after_total 1.0"]
    for _ in range(3):
        # As in an application that makes one for each request.
        once = CollectorRegistry()
        MultiProcessCollector(once)
        assert lines(once, "before") == ["before_total 2.0"]
    MultiProcessCollector(REGISTRY)
    MultiProcessCollector(REGISTRY)
    default = Counter("default", "In the default registry.")
    default.inc()
    assert lines(REGISTRY, "default") == ["default_total 1.0"]
    registry.unregister(collector)
    assert collector not in registry._collectors_without_names


@alone
def test_filters_ask_only_whom_they_must() -> None:
    class Slow:
        asked = 0

        def describe(self) -> list[forkmeter.Metric]:
            return [forkmeter.Metric("slow", "Slow.", "gauge")]

        def collect(self) -> list[forkmeter.Metric]:
            Slow.asked += 1
            return self.describe()

    for name, registry in (("first", REGISTRY), ("second", CollectorRegistry())):
        jobs = Counter(name, "Jobs.", registry=registry)
        Counter(f"other_than_{name}", "Others.", registry=registry)
        registry.register(Slow())
        MultiProcessCollector(registry)
        in_worker(jobs.inc)
        wanted = registry.restricted_registry([f"{name}_total"])
        assert generate_latest(wanted).decode().splitlines()[2:] == [f"{name}_total 1.0"]
        assert Slow.asked == 0
    # What is only in the directory has names that nobody registered.
    collecting = CollectorRegistry()
    MultiProcessCollector(collecting)
    for wanted in (collecting.restricted_registry(["first_total"]), REGISTRY.restricted_registry(["first_total"])):
        assert generate_latest(wanted).decode().splitlines()[2:] == ["first_total 1.0"]


def without_values(written: str) -> list[str]:
    """Returns the lines of an exposition, of the times of processes without their values."""
    return [line.rpartition(" ")[0] if line.startswith("process_") else line for line in written.splitlines()]


class Wanted:
    """Is a registry that collects everything, and leaves out what nobody asked for."""

    def __init__(self, registry: CollectorRegistry, names: list[str]) -> None:
        self.registry, self.names = registry, names

    def collect(self) -> list[forkmeter.Metric]:
        families = [family._restricted_metric(set(self.names)) for family in self.registry.collect()]
        return [family for family in families if family is not None]


@alone
def test_filters_read_only_what_they_must() -> None:
    others = Counter("others", "Series that nobody asks for.", ["x"])
    jobs = Counter("jobs", "Jobs.", ["x"])
    queue = Gauge("queue", "Waiting.", multiprocess_mode="livesum")
    lengths = Gauge("lengths", "Not asked for.", ["x"], multiprocess_mode="all")
    sizes = Histogram("sizes", "Sizes.", buckets=[1, 2])
    version = Info("version", "Version.")
    version.info({"number": "1"})

    def count() -> None:
        for number in range(1000):
            others.labels(str(number)).inc()
            lengths.labels(str(number)).set(1)
        jobs.labels("a").inc()
        queue.set(2)
        sizes.observe(1.5)

    def as_the_official_client() -> None:
        values.ValueClass = values.MultiProcessValue()
        registry = CollectorRegistry()
        counter = Counter("foreign", "Foreign.", ["x"], registry=registry)
        for number in range(1000):
            counter.labels(str(number)).inc()
        Counter("jobs_foreign", "Foreign jobs.", registry=registry).inc()

    collecting = CollectorRegistry()
    MultiProcessCollector(collecting)
    other_path = CollectorRegistry()
    MultiProcessCollector(other_path, os.environ["PROMETHEUS_MULTIPROC_DIR"] + "/.")
    count()
    with Staying(count):
        in_worker(as_the_official_client)
        for names in (
            ["jobs_total"],
            ["queue", "sizes_bucket", "none"],
            ["jobs", "sizes_count", "version_info", "jobs_foreign_total"],
            ["process_cpu_seconds_total"],
            ["forkmeter_kept_series", "jobs_total", "jobs_created"],
            ["\ud800", "jobs_total"],
            [],
        ):
            for registry in (REGISTRY, collecting, other_path):
                for _ in range(2):
                    written = generate_latest(registry.restricted_registry(names)).decode()
                    expected = generate_latest(Wanted(registry, names)).decode()
                    # In the order of the names, which are a set, as the official client has them.
                    assert sorted(without_values(written)) == sorted(without_values(expected)), names
        for registry in (REGISTRY, collecting):
            costs = []
            for collected in (registry, registry.restricted_registry(["jobs_total"])):
                generate_latest(collected)
                time.sleep(0.2)
                generate_latest(collected)
                before = reads()
                generate_latest(collected)
                costs.append(reads() - before)
            assert costs[1] * 4 < costs[0], costs


@alone
def test_a_collector_of_another_version_makes_no_second_family() -> None:
    class Jobs:
        def collect(self) -> list[forkmeter.Metric]:
            family = forkmeter.Metric("jobs", "Jobs.", "counter")
            family.add_sample("jobs_total", {}, 5)
            return [family]

    def as_another_version() -> None:
        REGISTRY.register(Jobs())
        generate_latest(REGISTRY)

    with Staying(as_another_version):
        Counter("jobs", "Jobs.").inc()
        for registry in (REGISTRY, REGISTRY.restricted_registry(["jobs_total"])):
            assert lines(registry, "jobs_total") == ["jobs_total 1.0"]
            assert generate_latest(registry).decode().count("TYPE jobs_total counter") == 1


@alone
def test_a_gateway_gets_the_merged_numbers_of_any_worker() -> None:
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    jobs = Counter("jobs", "Jobs.")
    jobs.inc()
    in_worker(jobs.inc)

    def push() -> None:
        jobs.inc()
        push_to_gateway(f"127.0.0.1:{server.server_port}", job="batch", registry=REGISTRY)

    with Staying(jobs.inc):
        thread = threading.Timer(0.1, lambda: in_worker(push))
        thread.start()
        server.handle_request()
        thread.join()
    server.server_close()
    assert [line for line in bodies[0].splitlines() if line.startswith("jobs_total")] == ["jobs_total 4.0"]


@alone
def test_mark_process_dead_is_not_needed() -> None:
    busy = Gauge("busy", "Busy.", multiprocess_mode="livesum")
    directory = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    with Staying(lambda: busy.set(1)):
        assert lines(REGISTRY, "busy") == ["busy 1.0"]
    assert lines(REGISTRY, "busy") == ["busy 0.0"]
    # It does no harm either, with a directory and without.
    mark_process_dead(1)
    mark_process_dead("1", directory)
    del os.environ["PROMETHEUS_MULTIPROC_DIR"]
    mark_process_dead(1)


@alone
def test_identifiers_with_underscores() -> None:
    identifier = "web_0"
    values.ValueClass = values.MultiProcessValue(lambda: identifier)
    each = Gauge("each", "Level.", multiprocess_mode="all", registry=None)
    for identifier in ("web_1", "web_2"):  # noqa: B007 -- it is what the value class asks for
        each.set(1)
    expected = [(f"web_{number}", min(number, 1)) for number in range(3)]
    for value_class in (values.ValueClass, values.NativeValueClass):
        values.ValueClass = value_class
        collector = MultiProcessCollector(None)
        files = map(str, Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db"))
        for families in (collector.collect(), collector.merge(files)):
            found = [sample for family in families for sample in family.samples]
            assert sorted((sample.labels["pid"], sample.value) for sample in found) == expected


@alone
def test_the_first_count_of_a_child_reads_no_files() -> None:
    def read_by_first_count(series: int) -> int:
        counter = Counter(f"c{series}", "Series.", ["number"])
        for number in range(series):
            counter.labels(str(number)).inc()
        held = counter.labels("0")
        reading, writing = os.pipe()

        def work() -> None:
            before = reads()
            held.inc()
            os.write(writing, str(reads() - before).encode())

        in_worker(work)
        return int(os.read(reading, 20))

    few, many = read_by_first_count(10), read_by_first_count(5_000)
    # What the two looks themselves read may differ by some digits.
    assert many - few < 200, f"{many} bytes, not {few}"
