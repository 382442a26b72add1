"""What goes wrong while requests are measured is logged, once each."""

from __future__ import annotations

_MAX_REPORTED = 1000
_reported: set[tuple[type, str, int]] = set()


def report(error: BaseException) -> None:
    """Logs an error, unless one of its type came from the same line before."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = ("", 0) if where is None else (where.tb_frame.f_code.co_filename, where.tb_lineno)
    key = (type(error), *place)
    if key in _reported or len(_reported) >= _MAX_REPORTED:
        return
    _reported.add(key)
    import logging

    logging.getLogger("forkmeter").warning("an HTTP request was not measured as it should be", exc_info=error)
