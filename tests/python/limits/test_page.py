"""The code of `docs/multiprocess.md` runs, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from forkmeter import REGISTRY

from support.alone import Staying, alone, in_worker

PAGE = Path(__file__).resolve().parents[3] / "docs/multiprocess.md"


@alone
def test_the_example_counts_in_all_workers() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 -- it is ours
    in_worker(names["REQUESTS"].labels("GET").inc)
    names["REQUESTS"].labels("GET").inc()
    with Staying(lambda: names["BUSY"].set(1)):
        assert REGISTRY.get_sample_value("busy_workers") == 1
    assert REGISTRY.get_sample_value("busy_workers") == 0
    assert REGISTRY.get_sample_value("http_requests_total", {"method": "GET"}) == 2
