"""Files that are not what they seem: a scrape answers with all the good data and says what was wrong.

Every test runs the exporter as a server, as an operator would, and never lets it obtain what permissions deny.
"""

from __future__ import annotations

import os
import random
import socket
import sqlite3
import struct
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Callable

import pytest
from prometheus_client.multiprocess import mark_process_dead

from support.exposition import promtool_check, samples
from support.forkmeter import Exporter
from support.operations import act, declare
from support.segments import entry, key, segment
from support.worker import OFFICIAL, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = {
    ("requests_total", frozenset({("method", "GET")})): 7.0,
    ("requests_total", frozenset({("method", "POST")})): 2.0,
    ("latency_seconds_count", frozenset[tuple[str, str]]()): 2.0,
    ("level_meters", frozenset[tuple[str, str]]()): 5.0,
}
FINE = entry(key("requests", "requests_total", {"method": "GET"}), 1000.0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with good files of two workers, which add up to `GOOD`."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    for number in (3, 4):
        with Worker(OFFICIAL, folder) as worker:
            worker.do(
                declare("counter", "requests", "method"),
                act("inc", "requests", "GET", value=number),
                act("inc", "requests", "POST", value=1),
                declare("histogram", "latency_seconds", buckets=[1]),
                act("observe", "latency_seconds", value=0.5),
                declare("gauge", "level_meters", mode="max"),
                act("set", "level_meters", value=number + 1),
            ).end()
    return folder


@pytest.fixture
def exporter(directory: Path, tmp_path: Path) -> Iterator[Exporter]:
    """An exporter of the directory."""
    with Exporter(directory, log=tmp_path / "log") as running:
        yield running


def assert_good(text: str) -> None:
    """Checks that an exposition has all the good data, unchanged."""
    found = samples(text)
    assert {name: found.get(name) for name in GOOD} == GOOD


def files_by_state(text: str, directory: Path) -> dict[str, int]:
    """Returns how many files the exporter counts in each state, without zeros."""
    return {
        state: int(count)
        for (name, labels), count in samples(text).items()
        for state in [dict(labels).get("state", "")]
        if name == "forkmeter_files" and dict(labels)["directory"] == str(directory) and count
    }


def make_sqlite(path: Path) -> None:
    """Writes a small SQLite database, such as other software keeps in `*.db` files."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table visits (who text)")
        database.execute("insert into visits values ('somebody')")


def make_socket(path: Path) -> None:
    """Leaves a socket's file behind."""
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            # The path may be too long for an address.
            server.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def make_unreadable(path: Path) -> None:
    """Writes a good file that nobody may read."""
    path.write_bytes(segment(FINE))
    path.chmod(0)


def bytes_of(content: bytes) -> Callable[[Path], None]:
    """Returns what writes these bytes."""

    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


# By case: the file's name, what makes it, and the states that say it well.
BAD: dict[str, tuple[str, Callable[[Path], None], set[str]]] = {
    "empty": ("counter_71.db", bytes_of(b""), {"empty"}),
    "zeros": ("counter_71.db", bytes_of(bytes(4096)), {"empty"}),
    "half a header": ("counter_71.db", bytes_of(b"\x08\x00"), {"truncated", "corrupt"}),
    "text": ("counter_71.db", bytes_of(b"These are my notes, not metrics.\n" * 40), {"foreign", "corrupt"}),
    "random": ("counter_71.db", bytes_of(random.Random(1).randbytes(5000)), {"foreign", "corrupt", "truncated"}),
    "SQLite": ("counter_71.db", make_sqlite, {"foreign"}),
    "SQLite elsewhere": ("sessions.db", make_sqlite, {"foreign"}),
    "no permission": ("counter_71.db", make_unreadable, {"unreadable"}),
    "a directory": ("x.db", lambda path: path.mkdir(), {"foreign", "unreadable"}),
    "a directory with a good name": ("counter_71.db", lambda path: path.mkdir(), {"foreign", "unreadable"}),
    "a pipe": ("counter_71.db", os.mkfifo, {"foreign", "unreadable"}),
    "a socket": ("counter_71.db", make_socket, {"foreign", "unreadable"}),
    "a link to nothing": ("counter_71.db", lambda path: path.symlink_to("gone"), {"unreadable", "vanished", "foreign"}),
    "a link to itself": ("counter_71.db", lambda path: path.symlink_to(path.name), {"unreadable", "foreign"}),
    "says too much": ("counter_71.db", bytes_of(segment(used=2**31 - 1)), {"truncated"}),
    "says less than nothing": ("counter_71.db", bytes_of(segment(FINE, used=-8)), {"corrupt", "foreign"}),
    "says an odd number": ("counter_71.db", bytes_of(segment(used=9) + b"xxxxxxx"), {"corrupt", "truncated"}),
    "key too long": ("counter_71.db", bytes_of(segment(struct.pack("<i", 2**30) + bytes(60))), {"corrupt"}),
    "key of negative length": ("counter_71.db", bytes_of(segment(struct.pack("<i", -5) + bytes(60))), {"corrupt"}),
    "key is no JSON": ("counter_71.db", bytes_of(segment(entry(b"[requests", 1.0))), {"corrupt"}),
    "key is another JSON": ("counter_71.db", bytes_of(segment(entry(b'{"a": 1}', 1.0))), {"corrupt"}),
    "key is no UTF-8": ("counter_71.db", bytes_of(segment(entry(b'["\xff", "\xff", {}, ""]', 1.0))), {"corrupt"}),
    "key has no name": ("counter_71.db", bytes_of(segment(entry(b'["", "", {}, ""]', 1.0))), {"corrupt"}),
    "unknown mark": ("counter_71.db", bytes_of(segment(FINE, mark=b"\xde\xad\xbe\xef")), {"foreign"}),
    "unknown kind": ("colour_71.db", bytes_of(segment(FINE)), {"foreign"}),
    "unknown mode": ("gauge_median_71.db", bytes_of(segment(FINE)), {"foreign"}),
    "workers": ("forkmeter.workers", bytes_of(random.Random(2).randbytes(500)), {"foreign", "corrupt"}),
    "meta": ("forkmeter.meta", bytes_of(b"FORKMTRM" + random.Random(3).randbytes(500)), {"foreign", "corrupt"}),
    "states": ("forkmeter.states", bytes_of(random.Random(4).randbytes(500)), {"foreign", "corrupt", "truncated"}),
    "exemplars": ("forkmeter.exemplars", bytes_of(random.Random(5).randbytes(500)), {"foreign", "corrupt"}),
    "fold": ("forkmeter.fold", bytes_of(b'{"target": ["'), {"foreign", "corrupt"}),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file(directory: Path, exporter: Exporter, case: str) -> None:
    """The good data is answered; the file is named once in the log and counted in a self-metric."""
    name, make, states = BAD[case]
    assert files_by_state(exporter.scrape(), directory) == {"ok": 6}
    make(directory / name)
    for _ in range(3):
        text = exporter.scrape()
        assert_good(text)
        found = files_by_state(text, directory)
        assert found.pop("ok") == 6
        assert list(found.values()) == [1]
        assert set(found) <= states
    named = [line for line in exporter.log_lines() if line.get("path", "").endswith(f"/{name}")]
    assert len(named) == 1, named
    assert named[0]["cause"]


def test_all_of_them_at_once(directory: Path, exporter: Exporter) -> None:
    """However many files are bad, each is counted and named, and the good data is answered."""
    made = []
    for number, (name, make, _) in enumerate(BAD.values()):
        unique = name if name.startswith("forkmeter.") else name.replace("_71", f"_{number + 100}")
        path = directory / unique
        if path not in made:
            make(path)
            made.append(path)
    text = exporter.scrape()
    assert_good(text)
    found = files_by_state(text, directory)
    assert found.pop("ok") == 6
    assert sum(found.values()) == len(made)
    assert {line["path"] for line in exporter.log_lines() if "path" in line} == {str(path) for path in made}
    for path in made:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    assert files_by_state(exporter.scrape(), directory) == {"ok": 6}


def test_truncated_at_every_offset(directory: Path, exporter: Exporter) -> None:
    """A file cut off anywhere gives the entries before the cut, never a wrong one, and hides no other file."""
    names = ["alpha", "beta", "gamma"]
    entries = [entry(key("cut", "cut_total", {"name": name}), 1.0 + index) for index, name in enumerate(names)]
    whole = segment(*entries)
    ends = [8 + sum(map(len, entries[: index + 1])) for index in range(len(entries))]
    path, fresh = directory / "counter_71.db", directory / "fresh"
    for length in range(len(whole) + 1):
        fresh.write_bytes(whole[:length])
        fresh.replace(path)
        text = exporter.get("/metrics")[0].decode()
        assert_good(text)
        found = samples(text)
        expected = {
            ("cut_total", frozenset({("name", name)})): 1.0 + index
            for index, name in enumerate(names)
            if ends[index] <= length
        }
        assert {sample: value for sample, value in found.items() if sample[0] == "cut_total"} == expected
        found_states = files_by_state(text, directory)
        if length == len(whole):
            assert found_states == {"ok": 7}
        else:
            assert found_states.pop("ok") == 6
            assert list(found_states.values()) == [1]
        if length % 32 == 0:
            promtool_check(text)


def test_any_damage(directory: Path, exporter: Exporter) -> None:
    """Whatever bytes of a file are overwritten, the scrape is valid and the good files' own series are right."""
    chance = random.Random(6)
    whole = segment(
        *[entry(key("cut", "cut_bucket", {"le": str(bound), "name": "é"}), 1.0) for bound in (0.5, 1.0, "+Inf")],
        entry(key("cut", "cut_sum", {"name": "é"}), 1.0),
    )
    names = ["counter_71.db", "histogram_71.db", "summary_71.db", "gauge_min_71.db", "gauge_all_71.db"]
    for number in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            start = chance.randrange(len(damaged))
            patch = chance.choice([b"\x00", b"\xff", b'"', b"}", b"\x7f\xff\xff\xff", chance.randbytes(8)])
            damaged[start : start + len(patch)] = patch
        path = directory / chance.choice(names)
        path.write_bytes(damaged)
        text = exporter.get("/metrics")[0].decode()
        assert_good(text)
        if number % 20 == 0:
            promtool_check(text, lint=False)
    for name in names:
        (directory / name).unlink(missing_ok=True)
    assert files_by_state(exporter.scrape(), directory) == {"ok": 6}


def test_files_that_vanish_and_grow_during_scrapes(directory: Path, exporter: Exporter) -> None:
    """While files appear, grow, shrink in place and vanish, every scrape is answered and right.

    The worker that grows its file counts up, so its sum never goes back; a reader that trusted a size it saw before
    would fault on the file that shrinks.
    """
    stop = threading.Event()
    scrapes = []
    shrinking = directory / "counter_72.db"
    content = segment(*[entry(key("swing", "swing_total", {"number": str(index)}), 1.0) for index in range(2000)])

    def swing() -> None:
        while not stop.is_set():
            shrinking.write_bytes(content)
            os.truncate(shrinking, 100)
            shrinking.unlink()

    def come_and_go() -> None:
        number = 100
        while not stop.is_set():
            number += 1
            path = directory / f"gauge_livesum_{number}.db"
            path.write_bytes(segment(entry(key("passing", "passing", {}), 1.0)))
            mark_process_dead(number, str(directory))

    threads = [threading.Thread(target=swing), threading.Thread(target=come_and_go)]
    with Worker(OFFICIAL, directory) as worker:
        worker.do(declare("counter", "growing", "number"))
        for thread in threads:
            thread.start()
        try:
            deadline = time.monotonic() + 5
            number = 0
            while time.monotonic() < deadline or number < 2000:
                # Two hundred bytes of label, so that the file grows beyond its first megabyte.
                worker.send(act("inc", "growing", f"{index:0200}", value=1) for index in range(number, number + 100))
                number += 100
                text = exporter.get("/metrics")[0].decode()
                assert_good(text)
                scrapes.append(sum(count for (name, _), count in samples(text).items() if name == "growing_total"))
            worker.sync()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        worker.end()
    shrinking.unlink(missing_ok=True)
    text = exporter.scrape()
    assert_good(text)
    assert sum(count for (name, _), count in samples(text).items() if name == "growing_total") == number
    assert scrapes == sorted(scrapes)
    assert len(set(scrapes)) > 3, "the file did not grow while it was scraped"
    assert files_by_state(text, directory) == {"ok": 7}


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A directory that does not exist yet, goes away or may not be listed leaves the others' data alone."""
    there, later = tmp_path / "there", tmp_path / "later"
    there.mkdir()
    content = segment(FINE)
    (there / "counter_1.db").write_bytes(content)
    with Exporter(there, later, log=tmp_path / "log") as exporter:
        sample = ("requests_total", frozenset({("method", "GET")}))

        def readable() -> float:
            return samples(exporter.scrape())["forkmeter_directory_readable", frozenset({("directory", str(later))})]

        assert samples(exporter.scrape())[sample] == 1000.0
        assert readable() == 0
        later.mkdir()
        (later / "counter_1.db").write_bytes(segment(entry(key("jobs", "jobs_total", {}), 3.0)))
        assert samples(exporter.scrape())["jobs_total", frozenset()] == 3.0
        assert readable() == 1
        later.chmod(0)
        try:
            assert readable() == 0
            assert samples(exporter.scrape())[sample] == 1000.0
        finally:
            later.chmod(0o700)
        assert readable() == 1
