"""Runs scrapes of asynchronous servers in threads, and those that ask for the same together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

    Answer = tuple[str, list[tuple[str, str]], bytes]

# Up to here, writing takes a fraction of a millisecond, about as long as to wake a thread and to come back.
_MAX_SERIES_AT_ONCE = 64


class Offloader:
    """Renders the scrapes of one application.

    Args:
        registry: Where the application collects.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self._running: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Future[Answer]] = {}

    async def run(self, key: Hashable, render: Callable[[], Answer]) -> Answer:
        """Returns what `render` returns, called in the loop's default executor.

        The call that another task waits for with the same key is waited for instead. It has the context variables of
        the task that began it, and goes on where that is cancelled.

        Args:
            key: What is asked for.
            render: Collects and writes.

        Raises:
            Exception: What `render` raises, in every task that waits for it.
        """
        import asyncio

        if is_small(self._registry):
            return render()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Another kind of event loop, such as that of Trio.
            return render()
        place = (loop, key)
        running = self._running.get(place)
        if running is None:
            from contextvars import copy_context

            running = loop.run_in_executor(None, copy_context().run, render)
            self._running[place] = running
            running.add_done_callback(lambda _: self._running.pop(place, None))
        return await asyncio.shield(running)


def is_small(registry: Any) -> bool:
    """Tells whether a registry is written in no time, and without calling anybody's code.

    That is so for a few series of our own counters, summaries, histograms, infos and enums; a gauge may have a function
    that is called, and everything else is a collector of which nothing is known.

    Args:
        registry: A registry, or whatever else has `collect`.
    """
    from . import metrics
    from . import registry as registries

    if type(registry) is not registries.CollectorRegistry:
        return False
    plain = (metrics.Counter, metrics.Summary, metrics.Histogram, metrics.Info, metrics.Enum)
    series = 0
    for collector in list(registry._collector_to_names):
        if type(collector) not in plain:
            return False
        series += len(getattr(collector, "_metrics", ())) or 1
        if series > _MAX_SERIES_AT_ONCE:
            return False
    return True
