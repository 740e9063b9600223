"""HTTP, by Ryu's own WSGI server: what the cluster is like, and what it is to do.

GET  /metrics                  for Prometheus: text, or OpenMetrics if asked for
GET  /v1/status                JSON, as all that follows
GET  /v1/events?after=N        what has happened to the cluster after event N, or of late
GET  /v1/history               new sessions of each unit in each of the last seconds
POST /v1/units/UNIT/drain      {"deadline": SECONDS}, or no body: no deadline
POST /v1/units/UNIT/undrain
POST /v1/units/UNIT/promote    {"force": true}, or no body: only if no session is lost

An order that is carried out is answered by 200 and {}, one that can't be by 409 and {"error": why},
one that can't be understood by 400 and the same.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route

from ryu_apps.core.orders import DRAIN, PROMOTE, VERBS, Order, Refusal

NAME = "synod"
_FIELDS = {DRAIN: {"deadline"}, PROMOTE: {"force"}}  # of the bodies, by verb


@dataclass(frozen=True, slots=True)
class Doors:
    """What the app answers with: `give` raises Refusal."""

    status: Callable[[], dict[str, Any]]
    events: Callable[[int], dict[str, Any]]  # of a higher number
    history: Callable[[], dict[str, Any]]
    metrics: Callable[[str], tuple[bytes, str]]  # Accept header -> body, content type
    give: Callable[[Order], None]


class Api(ControllerBase):
    """Answers requests; made anew by Ryu for each."""

    @route(NAME, "/v1/status", methods=["GET"])
    def status(self, request: Any, **_: Any) -> Any:
        """The cluster as it is now."""
        return answer(200, self.data[NAME].status())

    @route(NAME, "/v1/events", methods=["GET"])
    def events(self, request: Any, **_: Any) -> Any:
        """What has happened to it."""
        try:
            after = _number(request.GET.get("after", "0"))
        except ValueError as error:
            return answer(400, {"error": f"after: {error}"})
        return answer(200, self.data[NAME].events(after))

    @route(NAME, "/v1/history", methods=["GET"])
    def history(self, request: Any, **_: Any) -> Any:
        """New sessions of late."""
        return answer(200, self.data[NAME].history(), indent=None)

    @route(NAME, "/metrics", methods=["GET"])
    def metrics(self, request: Any, **_: Any) -> Any:
        """The same, and more numbers, for Prometheus."""
        body, content_type = self.data[NAME].metrics(request.headers.get("Accept", ""))
        return Response(body=body, headerlist=[("Content-Type", content_type)])

    @route(NAME, "/v1/units/{unit}/{verb}", methods=["POST"])
    def order(self, request: Any, unit: str, verb: str, **_: Any) -> Any:
        """An order about a unit."""
        try:
            order = _order(verb, unit, request.body)
        except ValueError as error:
            return answer(400, {"error": str(error)})
        try:
            self.data[NAME].give(order)
        except Refusal as error:
            return answer(409, {"error": str(error)})
        return answer(200, {})


def _order(verb: str, unit: str, body: bytes) -> Order:
    """ValueError with what is wrong."""
    if verb not in VERBS:
        raise ValueError(f"{verb!r} is not one of {', '.join(VERBS)}")
    if not unit.isascii() or not unit.isdigit() or len(unit) > 3:
        raise ValueError(f"{unit!r} is not a unit's id")
    try:
        asked = json.loads(body) if body else {}
    except RecursionError as error:
        raise ValueError("the body is nested too deeply") from error
    known = _FIELDS.get(verb, set())
    if not isinstance(asked, dict) or asked.keys() - known:
        raise ValueError(f"the body is an object with {', '.join(known) or 'nothing'}, or empty")
    force = asked.get("force", False)
    if not isinstance(force, bool):
        raise ValueError("force: not true or false")
    deadline = asked.get("deadline")
    if deadline is not None and (
        isinstance(deadline, bool) or not isinstance(deadline, int | float)
    ):
        raise ValueError("deadline: not a number of seconds")
    return Order(verb, int(unit), deadline, force)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ValueError(f"{text!r} is not a number")
    return int(text)


def answer(code: int, value: dict[str, Any], *, indent: int | None = 1) -> Any:
    """JSON."""
    body = json.dumps(value, indent=indent) + "\n"
    return Response(status=code, content_type="application/json", charset="UTF-8", text=body)


def serve(wsgi: WSGIApplication, doors: Doors) -> None:
    """Answer from now on."""
    wsgi.register(Api, {NAME: doors})
