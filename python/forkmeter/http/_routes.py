"""Finds the templates of Starlette's and FastAPI's routes.

Only attributes of routes are looked at, so neither is imported, and other frameworks with the same shape will do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ._report import report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    Scope = dict[str, Any]

_MAX_KNOWN = 4096
_NONE, _PARTIAL, _FULL = 0, 1, 2
_GROUP_NAME = re.compile(r"\(\?P<\w+>")


class Routes:
    """Finds templates for the requests of one middleware."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._known: dict[tuple[object, ...], tuple[object, str | None]] = {}

    def expect(self, scope: Scope) -> str | None:
        """Returns the template of the route that a request will take, as far as its path says it."""
        source = scope.get("router") or scope.get("app")
        routes = getattr(source, "routes", None)
        if not routes:
            return None
        kind = scope["type"]
        table = self._tables.get(kind)
        if table is None or table.source is not source or table.size != len(routes):
            table = self._tables[kind] = _Table(source, routes, kind)
        return table.find(_own_path(scope))

    def resolve(self, scope: Scope, _answer: object) -> str | None:
        """Returns the template of the route that a request took.

        The router has left what it chose in the scope, but neither the mounts on the way nor, in older versions, the
        route; so the way is gone again, once for each route and place that it is mounted at.
        """
        route = scope.get("route")
        endpoint = scope.get("endpoint")
        context = (scope.get("fastapi") or {}).get("effective_route_context")
        # The objects stay alive beside their ids.
        kept = (route, endpoint, context)
        key = (id(route), id(endpoint), id(context), scope["type"], scope.get("root_path"))
        known = self._known.get(key)
        if known is not None:
            return known[1]
        routes = getattr(scope.get("router"), "routes", None)
        if not routes:
            return None
        start = {
            name: value for name, value in scope.items() if name not in {"route", "fastapi", "app_root_path", "router"}
        }
        start["root_path"] = scope.get("app_root_path", scope.get("root_path", ""))
        found = _walk(start, routes)
        if route is not None or found is None or found.is_sole:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = (kept, None if found is None else found.template)
        return None if found is None else found.template


class _Found(NamedTuple):
    template: str
    # Whether no other route beside this one has its endpoint.
    is_sole: bool


def _walk(scope: Scope, routes: Sequence[Any]) -> _Found | None:
    """Goes the way of a request from router to router."""
    partial = None
    candidates = list(_flat(routes))
    for route in candidates:
        match, child_scope = route.matches(scope)
        if match.value == _NONE:
            continue
        found = None
        inner = getattr(route, "routes", None)
        path = getattr(route, "path", None)
        if inner:
            below = _walk({**scope, **child_scope}, inner)
            if below is not None:
                found = _Found((path or "") + below.template, below.is_sole)
        elif isinstance(path, str):
            endpoint = getattr(route, "endpoint", None)
            alike = [other for other in candidates if getattr(other, "endpoint", None) == endpoint]
            found = _Found(path, endpoint is None or len(alike) == 1)
        if match.value == _FULL:
            return found
        partial = partial or found
    return partial


def _flat(routes: Sequence[Any]) -> Iterator[Any]:
    """Yields routes, and what FastAPI makes of those in included routers."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            for context in contexts():
                yield getattr(context, "starlette_route", None) or context


def _own_path(scope: Scope) -> str:
    """Returns the path without what the application is mounted at."""
    path: str = scope["path"]
    root_path = scope.get("root_path", "")
    if root_path and path.startswith(root_path) and path[len(root_path) : len(root_path) + 1] in {"", "/"}:
        return path[len(root_path) :]
    return path


class _Table:
    """The paths of a router's routes as one regular expression, which is faster than to ask them one by one."""

    def __init__(self, source: object, routes: Sequence[Any], kind: str) -> None:
        self.source = source
        self.size = len(routes)
        self._kind = kind
        self._known: dict[str, str | None] = {}
        self._routes: dict[int, tuple[Any, _Table | None]] = {}
        branches = []
        group = 1
        for route in _flat(routes):
            regex = getattr(route, "path_regex", None)
            is_mount = hasattr(route, "routes")
            if regex is None or (not is_mount and hasattr(route, "methods") != (kind == "http")):
                continue
            inner = getattr(route, "routes", None)
            self._routes[group] = (route, _Table(route, inner, kind) if inner else None)
            branches.append(f"({_GROUP_NAME.sub('(', regex.pattern)})")
            group += 1 + regex.groups
        self._regex: re.Pattern[str] | None
        try:
            self._regex = re.compile("|".join(branches)) if branches else None
        except re.error as error:
            # Somebody's own kind of parameter.
            report(error)
            self._regex = None

    def find(self, path: str) -> str | None:
        try:
            return self._known[path]
        except KeyError:
            pass
        template = self._find(path)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[path] = template
        return template

    def _find(self, path: str) -> str | None:
        match = self._regex.match(path) if self._regex else None
        if match is None or match.lastindex is None:
            return None
        route, inner = self._routes[match.lastindex]
        template: str = route.path
        if inner is None:
            return template
        rest = route.path_regex.match(path)
        below = inner.find("/" + rest.group("path")) if rest else None
        return None if below is None else template + below
