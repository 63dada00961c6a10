"""Which page of the monitoring port is where, and what it answers: status, headers, and a body in pieces."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from midge.quote import quote
from midge.server import monitor_views as views
from midge.server.complaints import Complaints
from midge.server.gotext import json_plain
from midge.server.info import NATS_VERSION
from midge.server.monitor_connz import connz
from midge.server.monitor_jsz import jsz
from midge.server.monitor_queries import Parameters, connz_query, flag, healthz_query, jsz_query, subs_flag, subsz_query
from midge.server.monitor_state import MonitoredServer
from midge.server.pieces import pieces

__all__ = ["Answer", "Pages"]

_JSON = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_COUNTED_LATER = ("/connz", "/routez")  # only where their parameters can be read, as in nats-server
_TITLES = {
    "/varz": "General",
    "/jsz": "JetStream",
    "/connz": "Connections",
    "/accountz": "Accounts",
    "/accstatz": "Account Stats",
    "/subsz": "Subscriptions",
    "/routez": "Routes",
    "/leafz": "LeafNodes",
    "/gatewayz": "Gateways",
    "/healthz": "Health Probe",
}
_INDEX = """<!DOCTYPE html>
<html lang="en">
<head><title>{title}</title></head>
<body>
<h1>{title}</h1>
<ul>
{links}
</ul>
</body>
</html>
"""

log = logging.getLogger("midge.server")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a request."""

    status: int
    parts: Iterable[bytes]
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)

    @staticmethod
    def text(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return an answer in plain text."""
        return Answer(status, [text.encode("utf-8", "replace")], {**_TEXT, **(headers or {})})


class Pages:
    """The pages of one monitoring port.

    Args:
        server: what they are about.
        base_path: what their paths begin with, as the options say it.
    """

    def __init__(self, server: MonitoredServer, base_path: str) -> None:
        self._server = server
        self._base = posixpath.normpath(f"/{base_path.lstrip('/')}")
        pages: dict[str, Callable[[Parameters], Answer]] = {
            "/": self._index,
            "/varz": self._varz,
            "/connz": self._connz,
            "/routez": self._routez,
            "/gatewayz": self._gatewayz,
            "/leafz": self._leafz,
            "/subsz": self._subsz,
            "/accountz": self._accountz,
            "/accstatz": self._accstatz,
            "/jsz": self._jsz,
            "/healthz": self._healthz,
        }
        self._pages = {posixpath.join(self._base, path.lstrip("/")) if path != "/" else self._base: path for path in pages}
        self._pages[posixpath.join(self._base, "subscriptionsz")] = "/subsz"
        self._handlers = pages
        self._complaints = Complaints()

    def answer(self, path: str, parameters: Parameters) -> Answer:
        """Return the answer to a request for a path."""
        page = self._pages.get(path)
        if page is None:
            return Answer.text(404, "404 page not found\n", {"X-Content-Type-Options": "nosniff"})
        if page not in _COUNTED_LATER:
            self._server.requests[page] += 1
        try:
            return self._handlers[page](parameters)
        except ValueError as error:  # a parameter that makes no sense, or names something that is not there
            return Answer.text(400, str(error))

    def _now(self) -> float:
        return self._server.clock()

    def _index(self, _: Parameters) -> Answer:
        base = "" if self._base == "/" else self._base
        links = "\n".join(f'<li><a href="{base}{path}">{title}</a></li>' for path, title in _TITLES.items())
        page = _INDEX.format(title=f"NATS server {NATS_VERSION}, midge", links=links)
        return Answer(200, [page.encode()], {"Content-Type": "text/html; charset=utf-8"})

    def _varz(self, _: Parameters) -> Answer:
        return Answer(200, pieces(views.varz(self._server, self._now())))

    def _connz(self, parameters: Parameters) -> Answer:
        query = connz_query(parameters)
        self._server.requests["/connz"] += 1
        return Answer(200, connz(self._server, query, self._now()))

    def _subsz(self, parameters: Parameters) -> Answer:
        return Answer(200, views.subsz(self._server, subsz_query(parameters), self._now()))

    def _routez(self, parameters: Parameters) -> Answer:
        subs_flag(parameters)
        self._server.requests["/routez"] += 1
        return Answer(200, pieces(views.routez(self._server, self._now())))

    def _gatewayz(self, parameters: Parameters) -> Answer:
        subs_flag(parameters)
        flag(parameters, "accs")
        return Answer(200, pieces(views.gatewayz(self._server, self._now())))

    def _leafz(self, parameters: Parameters) -> Answer:
        flag(parameters, "subs")
        return Answer(200, pieces(views.leafz(self._server, self._now())))

    def _accountz(self, parameters: Parameters) -> Answer:
        return Answer(200, pieces(views.accountz(self._server, parameters.get("acc", ""), self._now())))

    def _accstatz(self, parameters: Parameters) -> Answer:
        return Answer(200, pieces(views.accstatz(self._server, flag(parameters, "unused"), self._now())))

    def _jsz(self, parameters: Parameters) -> Answer:
        return Answer(200, jsz(self._server, jsz_query(parameters), self._now()))

    def _healthz(self, parameters: Parameters) -> Answer:
        status, body = views.healthz(self._server, healthz_query(parameters))
        if status != 200 and self._complaints.admit(self._now()):
            if left_out := self._complaints.take_left_out():
                log.warning("Healthcheck failed: %d more times", left_out)
            if "error" in body:
                log.warning("Healthcheck failed: %s", quote(body["error"].encode()))
            else:
                log.warning("Healthcheck failed: %d errors", len(body["errors"]))
        return Answer(status, [json_plain(body)])
