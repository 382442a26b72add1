"""Finds the templates of Flask's and Django's routes.

Neither is imported: what they left of a request is looked at, and what is loaded is asked.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Environ = dict[str, Any]
    Answer = tuple[Any, Any]

_MAX_KNOWN = 4096
_ROUTE = "forkmeter.route"


class WsgiRoutes:
    """Finds templates for the requests of one middleware.

    Args:
        app: The application that it stands before.
    """

    def __init__(self, app: Callable[..., Any]) -> None:
        # `flask_app.wsgi_app` is a method of the application.
        self._owner = getattr(app, "__self__", app)
        self._known: dict[tuple[str, str, str], str | None] = {}

    def expect(self, environ: Environ) -> str | None:
        """Returns the template of the route that a request will take, as far as its path says it."""
        key = (environ["REQUEST_METHOD"], environ.get("HTTP_HOST", ""), environ.get("PATH_INFO", ""))
        try:
            return self._known[key]
        except KeyError:
            pass
        rules = getattr(self._owner, "url_map", None)
        if rules is not None:
            template = _match_werkzeug(rules, environ)
        elif _is_django(self._owner):
            template = _match_django(environ)
        else:
            template = None
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = template
        return template

    def resolve(self, environ: Environ, answer: Answer) -> str | None:
        """Returns the template of the route that a request took.

        Args:
            environ: The environment, after the application has seen it.
            answer: What the application returned, and where it stood before.
        """
        body, script_name = answer
        if "werkzeug.request" in environ:
            request = environ["werkzeug.request"]
            if request is not None:
                # The context of the request is there, for the last time if the response begins now.
                rule = getattr(request, "url_rule", None)
                # Whoever passes requests on to several applications moves what chose one to the script's name.
                mounted_at = environ.get("SCRIPT_NAME", "")[len(script_name or "") :]
                environ[_ROUTE] = None if rule is None else mounted_at + str(rule.rule)
            return environ[_ROUTE] if _ROUTE in environ else self.expect(environ)
        if "django.urls" in sys.modules:
            return _resolved_by_django(body) or (_match_django(environ) if _is_django(self._owner) else None)
        return None


def _match_werkzeug(rules: Any, environ: Environ) -> str | None:
    from werkzeug.exceptions import HTTPException, MethodNotAllowed

    adapter = rules.bind_to_environ(environ)
    try:
        rule, _ = adapter.match(return_rule=True)
    except MethodNotAllowed as error:
        # The rule is there, for other methods.
        method = next(iter(error.valid_methods or ()), None)
        if method is None:
            return None
        rule, _ = adapter.match(method=method, return_rule=True)
    except HTTPException:
        return None
    return str(rule.rule)


def _is_django(app: Any) -> bool:
    handler = sys.modules.get("django.core.handlers.wsgi")
    return handler is not None and isinstance(app, handler.WSGIHandler)


def _resolved_by_django(body: Any) -> str | None:
    """Returns the template that Django found, from the request that its response will close."""
    for closer in getattr(body, "_resource_closers", ()):
        match = getattr(getattr(closer, "__self__", None), "resolver_match", None)
        if match is not None:
            return _template_of_django(match)
    return None


def _match_django(environ: Environ) -> str | None:
    from django.urls import Resolver404, resolve

    try:
        # As Django decodes it.
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        return _template_of_django(resolve(path or "/"))
    except Resolver404:
        return None


def _template_of_django(match: Any) -> str:
    return "/" + str(match.route).replace("^", "").replace("$", "").replace("\\Z", "")
