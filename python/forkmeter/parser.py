"""Reads the text format, leniently.

Lines as clients write them are taken apart by one regular expression each; every other line goes through functions that
know all that may stand in it. Both give the same result.
"""

from __future__ import annotations

import io
import re
import string
from typing import TYPE_CHECKING

from .metrics_core import Metric
from .samples import Sample
from .validation import _is_valid_legacy_metric_name, _validate_labelname, _validate_metric_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

ESCAPE_SEQUENCES = {
    "\\\\": "\\",
    "\\n": "\n",
    '\\"': '"',
}

HELP_ESCAPING_RE = re.compile(r"\\[\\n]")
ESCAPING_RE = re.compile(r'\\[\\n"]')

# Labels without escapes and spaces.
_LABEL_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
_PLAIN_LABEL = rf'{_LABEL_NAME}="[^"\\]*"'
_PLAIN_LABELS = rf"{_PLAIN_LABEL}(?:,{_PLAIN_LABEL})*"
_LABEL_PARTS = re.compile(rf'({_LABEL_NAME})="([^"\\]*)"')
_METRIC_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_PLAIN_NUMBER = r'[^\s{}#"]+'
_PLAIN_SAMPLE = re.compile(rf"({_METRIC_NAME})(?:\{{({_PLAIN_LABELS}),?\}})? ({_PLAIN_NUMBER})(?: ({_PLAIN_NUMBER}))?")
_PLAIN_METADATA = re.compile(rf"#[ \t\r\v\f]+(HELP|TYPE)[ \t\r\v\f]+({_METRIC_NAME})(?:[ \t\r\v\f]+(.*))?", re.DOTALL)

_NAME_LABEL = "__name__"


def replace_escape_sequence(match: re.Match[str]) -> str:
    """Returns what an escape sequence stands for."""
    return ESCAPE_SEQUENCES[match.group(0)]


def _replace_help_escaping(s: str) -> str:
    """Unescapes help text, where quotes are not escaped."""
    return HELP_ESCAPING_RE.sub(replace_escape_sequence, s)


def _replace_escaping(s: str) -> str:
    """Unescapes what stood in quotes."""
    return ESCAPING_RE.sub(replace_escape_sequence, s)


def _is_character_escaped(s: str, charpos: int) -> bool:
    """Tells whether the character at a position has an odd number of backslashes before it."""
    start = charpos
    while start > 0 and s[start - 1] == "\\":
        start -= 1
    return (charpos - start) % 2 == 1


_SEPARATORS: dict[str, re.Pattern[str]] = {}


def _separator_or_quote(characters: str) -> re.Pattern[str]:
    pattern = _SEPARATORS.get(characters)
    if pattern is None:
        pattern = _SEPARATORS[characters] = re.compile(f'["{re.escape(characters)}]')
    return pattern


def _next_unquoted_char(text: str, chs: str | None, startidx: int = 0) -> int:
    """Returns where the first of some characters stands outside quotes, or -1.

    Args:
        text: Where to look.
        chs: The characters; None means whitespace.
        startidx: Where to begin, outside quotes.
    """
    characters = string.whitespace if chs is None else chs
    is_quoted = False
    for match in _separator_or_quote(characters).finditer(text, startidx):
        position = match.start()
        character = text[position]
        if character == '"' and not _is_character_escaped(text, position):
            is_quoted = not is_quoted
        if not is_quoted and character in characters:
            return position
    return -1


def _last_unquoted_char(text: str, chs: str | None) -> int:
    """Returns where the last of some characters stands outside quotes, not at the very beginning, or -1.

    Args:
        text: Where to look.
        chs: The characters; None means whitespace.
    """
    characters = string.whitespace if chs is None else chs
    is_quoted = False
    for position in range(len(text) - 1, 0, -1):
        character = text[position]
        if character == '"' and not _is_character_escaped(text, position):
            is_quoted = not is_quoted
        if not is_quoted and character in characters:
            return position
    return -1


def _split_quoted(text: str, separator: str | None, maxsplit: int = 0) -> list[str]:
    """Splits at separators outside quotes; several in a row count as one.

    Args:
        text: What to split.
        separator: Separating characters; None means whitespace.
        maxsplit: How often to split at most; 0 means without limit.
    """
    tokens = [""]
    start = 0
    while start < len(text):
        end = _next_unquoted_char(text, separator, start)
        if end == start:
            start += 1
        elif end == -1 or 0 < maxsplit < len(tokens):
            tokens[-1] = text[start:]
            break
        else:
            tokens[-1] = text[start:end]
            tokens.append("")
            start = end + 1
    return tokens


def _unquote_unescape(text: str) -> tuple[str, bool]:
    """Takes quotes and escapes away.

    Returns:
        The text, and whether it stood in quotes.

    Raises:
        ValueError: Quotes are opened and not closed.
    """
    text = text.strip()
    is_quoted = text.startswith('"')
    if is_quoted:
        if len(text) == 1 or text[-1] != '"':
            raise ValueError("missing close quote")
        text = text[1:-1]
    return (_replace_escaping(text) if "\\" in text else text), is_quoted


def parse_labels(labels_string: str, openmetrics: bool = False) -> dict[str, str]:
    """Reads what stands between the braces of a sample.

    Args:
        labels_string: Labels, and possibly the name of the metric in quotes.
        openmetrics: Whether to be as strict as OpenMetrics is about commas and empty terms.

    Returns:
        Label values by name; the name of the metric as `__name__`.

    Raises:
        ValueError: The labels cannot be read.
    """
    rest = labels_string.strip()
    if openmetrics and rest.startswith(","):
        raise ValueError("leading comma: " + labels_string)
    labels: dict[str, str] = {}
    try:
        while rest:
            name_term, value_term, rest = _next_term(rest, openmetrics)
            if value_term:
                name = _label_name(name_term)
                if name in labels:
                    raise ValueError("duplicate label name: " + name)  # noqa: TRY301 -- gets the whole text below
                labels[name] = _label_value(value_term)
            elif openmetrics or rest.startswith("}"):
                raise ValueError("empty term")  # noqa: TRY301 -- as above
    except ValueError as error:
        raise ValueError("Invalid labels: " + labels_string) from error
    return labels


def _label_name(term: str) -> str:
    name, is_quoted = _unquote_unescape(term)
    if not is_quoted and not _is_valid_legacy_metric_name(name):
        raise ValueError("unquoted UTF-8 metric name")
    if name == _NAME_LABEL:
        _validate_metric_name(name)
    else:
        _validate_labelname(name)
    return name


def _label_value(term: str) -> str:
    if not term.startswith('"'):
        raise ValueError("missing open quote")
    end = term.find('"', 1)
    while end != -1 and _is_character_escaped(term, end):
        end = term.find('"', end + 1)
    if end != len(term) - 1:
        raise ValueError("unexpected text after quote")
    return _unquote_unescape(term)[0]


def _next_term(text: str, openmetrics: bool) -> tuple[str, str, str]:
    """Splits off the first label.

    Args:
        text: Labels, possibly with a comma in front.
        openmetrics: Whether an empty label is an error.

    Returns:
        Name, value as it stands there, and what is left. A value alone is the name of the metric.

    Raises:
        ValueError: There are several commas, or the label is empty.
    """
    if text.startswith(","):
        text = text[1:]
        if not text:
            return "", "", ""
        if text.startswith(","):
            raise ValueError("multiple commas")
    name = _NAME_LABEL
    end = _next_unquoted_char(text, "=,}")
    if end != -1 and text[end] == "=":
        name, text = text[:end], text[end + 1 :]
        end = _next_unquoted_char(text, ",}")
    if end == -1:
        end = len(text)
    term = text[:end]
    if not term and openmetrics:
        raise ValueError("empty term:", term)
    return name, term.strip(), text[end:].strip()


def _parse_value_and_timestamp(s: str) -> tuple[float, float | None]:
    """Reads what follows name and labels; of several values the first counts, and the last is the timestamp."""
    s = s.lstrip()
    parts = [part.strip() for part in s.split(" " if " " in s else "\t")]
    parts = [part for part in parts if part]
    if not parts:
        return float(s), None
    timestamp = _parse_value(parts[-1]) / 1000 if len(parts) > 1 else None
    return _parse_value(parts[0]), timestamp


def _parse_value(value: str | Iterable[str]) -> float:
    """Reads a number; one that can be an integer becomes one.

    Raises:
        ValueError: It is not a number, or has underscores or whitespace, which Python would allow.
    """
    text = "".join(value)
    if text != text.strip() or "_" in text:
        raise ValueError(f"Invalid value: {text!r}")
    try:
        return int(text)
    except ValueError:
        return float(text)


def _parse_sample(text: str) -> Sample:
    """Reads the line of a sample.

    Raises:
        ValueError: It is not one.
    """
    sample = _parse_plain_sample(text)
    if sample is not None:
        return sample
    label_start = _next_unquoted_char(text, "{")
    if label_start == -1 or " # " in text[:label_start]:
        name_end = _next_unquoted_char(text, " \t")
        name = text[:name_end].strip()
        if name_end == -1 or not _is_valid_legacy_metric_name(name):
            raise ValueError("invalid metric name:" + text)
        value, timestamp = _parse_value_and_timestamp(text[name_end + 1 :])
        return Sample(name, {}, value, timestamp)
    label_end = _next_unquoted_char(text, "}", label_start)
    if label_end == -1:
        raise ValueError("missing close brace: " + text)
    labels = parse_labels(text[label_start + 1 : label_end], openmetrics=False)
    name = _take_name(text[:label_start].strip(), labels)
    value, timestamp = _parse_value_and_timestamp(text[label_end + 1 :])
    return Sample(name, labels, value, timestamp)


def _parse_plain_sample(text: str) -> Sample | None:
    match = _PLAIN_SAMPLE.fullmatch(text)
    if match is None:
        return None
    name, labels_string, value, timestamp = match.groups()
    labels = _parse_plain_labels(labels_string)
    if labels is None:
        return None
    return Sample(name, labels, _parse_value(value), _parse_value(timestamp) / 1000 if timestamp else None)


def _parse_plain_labels(labels_string: str | None) -> dict[str, str] | None:
    """Reads labels that are known to have no escapes; None where a name needs a closer look."""
    if not labels_string:
        return {}
    pairs = _LABEL_PARTS.findall(labels_string)
    labels = dict(pairs)
    if len(labels) != len(pairs) or "__" in labels_string:
        return None
    return labels


def _take_name(name: str, labels: dict[str, str]) -> str:
    """Returns the name of a sample, which stands before the braces or between them, and removes it from the labels.

    Raises:
        ValueError: It stands in both places, or in none.
    """
    if not name:
        if _NAME_LABEL not in labels:
            raise ValueError("missing metric name")
        return labels.pop(_NAME_LABEL)
    if _NAME_LABEL in labels:
        raise ValueError("metric name specified more than once")
    return name


def _parse_metadata(line: str) -> tuple[str, str, str | None] | None:
    """Reads a line that begins with `#`.

    Returns:
        `HELP` or `TYPE`, the name, and the rest if there is one; or None for a comment.

    Raises:
        ValueError: The name is not allowed.
    """
    match = _PLAIN_METADATA.fullmatch(line)
    if match is not None:
        keyword, name, rest = match.groups()
        return keyword, name, rest
    parts = _split_quoted(line, None, 3)
    if len(parts) < 2 or parts[1] not in {"HELP", "TYPE"}:
        return None
    name, is_quoted = _unquote_unescape(parts[2]) if len(parts) > 2 else ("", True)
    if not is_quoted and not _is_valid_legacy_metric_name(name):
        raise ValueError("invalid metric name: " + line)
    return parts[1], name, parts[3] if len(parts) > 3 else None


# Suffixes of the samples of a family, by its type; others have samples without one.
_SUFFIXES = {
    "summary": ("_count", "_sum", ""),
    "histogram": ("_count", "_sum", "_bucket"),
}


def _build_metric(name: str, documentation: str, typ: str, samples: list[Sample]) -> Metric:
    """Makes a family, in the form that it has in OpenMetrics.

    Raises:
        ValueError: The name or the type is not allowed.
    """
    if typ == "counter":
        if name.endswith("_total"):
            name = name[: -len("_total")]
        else:
            samples = [sample._replace(name=sample.name + "_total") for sample in samples]
    metric = Metric(name, documentation, typ)
    metric.samples = samples
    return metric


def text_string_to_metric_families(text: str) -> Iterable[Metric]:
    """Reads an exposition in the text format.

    Args:
        text: The exposition.

    Yields:
        Families, in their order.

    Raises:
        ValueError: A line cannot be read.
    """
    yield from text_fd_to_metric_families(io.StringIO(text))


def text_fd_to_metric_families(fd: TextIO | Iterable[str]) -> Iterator[Metric]:  # noqa: C901 -- one line after the other
    """Reads an exposition in the text format, leniently: what it takes need not follow the specification.

    Samples that belong to no family become families of their own, of unknown type.

    Args:
        fd: Lines.

    Yields:
        Families, in their order.

    Raises:
        ValueError: A line cannot be read.
    """
    name = documentation = ""
    typ = "untyped"
    samples: list[Sample] = []
    allowed_names: set[str] = set()
    for untrimmed in fd:
        line = untrimmed.strip()
        if not line:
            continue
        if line[0] != "#":
            sample = _parse_sample(line)
            if sample.name in allowed_names:
                samples.append(sample)
                continue
            if name:
                yield _build_metric(name, documentation, typ, samples)
            name = documentation = ""
            typ, samples, allowed_names = "untyped", [], set()
            yield _build_metric(sample.name, "", "untyped", [sample])
            continue
        metadata = _parse_metadata(line)
        if metadata is None:
            continue
        keyword, candidate_name, rest = metadata
        if keyword == "TYPE" and rest is None:
            raise ValueError("missing type: " + line)
        if candidate_name != name:
            if name:
                yield _build_metric(name, documentation, typ, samples)
            name, documentation, typ, samples = candidate_name, "", "untyped", []
            allowed_names = {name}
        if keyword == "HELP":
            documentation = _replace_help_escaping(rest or "")
        else:
            typ = rest or ""
            allowed_names = {name + suffix for suffix in _SUFFIXES.get(typ, ("",))}
    if name:
        yield _build_metric(name, documentation, typ, samples)
