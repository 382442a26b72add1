"""Whole families against a golden text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..parser import text_string_to_metric_families
from . import _compare

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..metrics_core import Metric
    from ..samples import Sample
    from ._compare import Found

# Stands for a value that no test can know, such as a duration.
_ANY = "*"
# What a sample's name may have after its family's.
_SUFFIXES = ("_total", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info", "_created")


# What the text format calls types that it does not know.
_TYPES_IN_TEXT = {"gaugehistogram": "histogram", "info": "gauge", "stateset": "gauge", "unknown": "untyped"}


class _Expected(NamedTuple):
    sample: Sample
    is_any: bool


def check(golden: str, families: Sequence[Metric], samples: Sequence[Found], leftover: Collection[int]) -> str | None:
    """Compares the families that a golden text names.

    Args:
        golden: The text.
        families: What is exposed.
        samples: The samples of that.
        leftover: The `id` of samples that are at zero from before, and need not be named.

    Returns:
        What differs, or nothing.

    Raises:
        ValueError: A line of the text is none of the text format.
    """
    metadata, expected = _read(golden)
    by_name = {family.name: family for family in families}
    owners = {found.sample.name: found.family for found in samples}
    lines = _compare_metadata(metadata, by_name)
    named = {_family_of(name, by_name, owners) for _, name in metadata}
    matched = set()
    for wanted, is_any in expected:
        named.add(_family_of(wanted.name, by_name, owners))
        text = _compare.series(wanted.name, wanted.labels)
        value = _ANY if is_any else _compare.number(wanted.value)
        found = _compare.find(samples, wanted.name, wanted.labels)
        if found is None:
            lines.append(f"missing    {text} {value}")
            lines[-1] += _compare.nearest(wanted.name, wanted.labels, samples, "    ")
            continue
        matched.add(id(found.sample))
        if not is_any and not _compare.is_same(found.sample.value, wanted.value):
            lines.append(f"{text}: expected {value}, found {_compare.number(found.sample.value)}")
    for found in samples:
        sample = found.sample
        if found.family in named and id(sample) not in matched and id(sample) not in leftover:
            lines.append(f"unexpected {_compare.series(sample.name, sample.labels)} {_compare.number(sample.value)}")
    if not lines:
        return None
    return "the exposition is not as expected:" + "".join(f"\n  {line}" for line in lines)


def _compare_metadata(metadata: dict[tuple[str, str], str], by_name: dict[str, Metric]) -> list[str]:
    lines = []
    for (word, name), wanted in metadata.items():
        family = by_name.get(name)
        for suffix in ("_total", "_info"):
            family = family or by_name.get(name.removesuffix(suffix))
        if family is None:
            lines.append(f"missing    # {word} {name} {wanted}")
            continue
        given = family.documentation if word == "HELP" else family.type
        if given != wanted and not (word == "TYPE" and _TYPES_IN_TEXT.get(given) == wanted):
            lines.append(f"# {word} {name}: expected {_compare.quoted(wanted)}, found {_compare.quoted(given)}")
    return lines


def _family_of(name: str, by_name: dict[str, Metric], owners: dict[str, str]) -> str:
    """Returns the family that a name in a golden text means."""
    if name in owners:
        return owners[name]
    if name in by_name:
        return name
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name[: -len(suffix)] in by_name:
            return name[: -len(suffix)]
    return name


def _read(golden: str) -> tuple[dict[tuple[str, str], str], list[_Expected]]:
    metadata: dict[tuple[str, str], str] = {}
    expected: list[_Expected] = []
    for number, given in enumerate(golden.splitlines(), 1):
        line = given.strip()
        if line.startswith("#"):
            words = line[1:].split(maxsplit=2)
            if len(words) >= 2 and words[0] in {"HELP", "TYPE"}:
                metadata[words[0], words[1].strip('"')] = words[2] if len(words) == 3 else ""
        elif line:
            is_any = line.endswith(_ANY)
            text = line[: -len(_ANY)] + "0" if is_any else line
            try:
                families = list(text_string_to_metric_families(text + "\n"))
            except ValueError as error:
                raise ValueError(f"line {number} of the golden text is no exposition: {line}") from error
            for family in families:
                for sample in family.samples:
                    labels = _compare.as_exposed(sample.labels)
                    expected.append(_Expected(sample._replace(labels=labels), is_any))
    return metadata, expected
