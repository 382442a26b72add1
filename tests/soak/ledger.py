"""What each worker of the soak counted, in memory that a kill cannot take away: begun before, done after."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SLOTS = 8
# What is counted: a counter, a histogram and a summary that have a series for each slot, and a counter that all share.
COUNTED = ("counts", "seconds", "waits", "everybody")
_WORDS = 2 + 2 * len(COUNTED)


class Ledger:
    """Words that processes share; each is written by one process at a time.

    A worker that dies between the two words of a count leaves open whether it counted.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, which is made where it is missing.

        Args:
            path: on a file system that stays.
        """
        with path.open("a+b") as file:
            file.truncate(8 * (1 + SLOTS * _WORDS))
            self.words = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    def __getitem__(self, slot: int) -> Page:
        """Returns what a slot's worker has written."""
        return Page(self.words[1 + slot * _WORDS : 1 + (slot + 1) * _WORDS])

    @property
    def asked(self) -> int:
        """How often all workers were asked to look at the directory."""
        return self.words[0]

    @asked.setter
    def asked(self, count: int) -> None:
        self.words[0] = count


class Page:
    """What stands in the ledger of one slot."""

    def __init__(self, words: memoryview) -> None:
        """Takes the slot's part."""
        self.words = words

    def begin(self, counted: int) -> None:
        """Says that a count follows."""
        self.words[2 + 2 * counted] += 1

    def end(self, counted: int) -> None:
        """Says that it was made."""
        self.words[3 + 2 * counted] += 1

    def bounds(self, counted: int) -> tuple[int, int]:
        """Returns how many counts were made, and how many were begun."""
        return self.words[3 + 2 * counted], self.words[2 + 2 * counted]

    def settle(self, counted: int, value: int) -> None:
        """Says how many there were, as the worker is dead and somebody looked."""
        self.words[2 + 2 * counted] = self.words[3 + 2 * counted] = value

    @property
    def seen(self) -> int:
        """Which time the worker was asked when it looked at the directory last."""
        return self.words[0]

    @seen.setter
    def seen(self, count: int) -> None:
        self.words[0] = count

    @property
    def is_asked_to_end(self) -> bool:
        """Whether the worker is to come to its end."""
        return self.words[1] != 0

    @is_asked_to_end.setter
    def is_asked_to_end(self, is_asked: bool) -> None:
        self.words[1] = is_asked
