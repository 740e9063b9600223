"""HTTP, by Ryu's own WSGI server: what the cluster is like, and what it is to do.

GET  /metrics                  for Prometheus: text, or OpenMetrics if asked for
GET  /v1/status                JSON, as all that follows
GET  /v1/events?after=N        what has happened to the cluster after event N, or of late
GET  /v1/history               new sessions of each unit in each of the last seconds
GET  /v1/sessions, /v1/explain about single sessions (`ryu_apps.api_sessions`)
GET  /v1/openapi.json          all this, described for programs (docs/openapi.yaml)
POST /v1/method                {"method": NAME}
POST /v1/units/UNIT/weight     {"weight": NUMBER}
POST /v1/units/UNIT/drain      {"deadline": SECONDS}, or no body: no deadline
POST /v1/units/UNIT/undrain
POST /v1/units/UNIT/promote    {"force": true}, or no body: only if no session is lost

Reading needs nothing; an order needs the operator's token (`ryu_apps.admission`). One that is
carried out is answered by 200 and how the unit, or the method, is now. All else by {"error": why}:
400 can't be understood, 401 and 403 who asks may not, 404 there is no such unit or order, 405 not
with this method of HTTP, 409 can't be carried out, 413 the body is too long.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route

from ryu_apps.admission import TurnedAway
from ryu_apps.core import order_forms
from ryu_apps.core.orders import Method, NoSuch, Order, Refusal
from ryu_apps.description import description

NAME = "synod"
MOST_BODY = 64 << 10  # bytes


@dataclass(frozen=True, slots=True)
class Doors:
    """What the app answers with. `admit` raises TurnedAway, `give` Refusal."""

    status: Callable[[], dict[str, Any]]
    events: Callable[[int], dict[str, Any]]  # of a higher number
    history: Callable[[], dict[str, Any]]
    metrics: Callable[[str], tuple[bytes, str]]  # Accept header -> body, content type
    admit: Callable[[str, str], None]  # Authorization header, address of who asks
    give: Callable[[Order | Method], None]


def answer(code: int, value: dict[str, Any], *, indent: int | None = 1) -> Any:
    """JSON."""
    body = json.dumps(value, indent=indent) + "\n"
    return Response(status=code, content_type="application/json", charset="UTF-8", text=body)


class TooLong(Exception):
    """A body of more than MOST_BODY."""


def body(request: Any) -> bytes:
    """A request's, which isn't even read if it is too long. (One that doesn't say how long it is
    has none: WebOb, BaseRequest.is_body_readable.)
    """
    if (request.content_length or 0) > MOST_BODY:
        raise TooLong(f"a body has {MOST_BODY} bytes at most")
    found: bytes = request.body
    return found


def resource(path: str, *methods: str) -> Callable[[Any], Any]:
    """Ryu's route, which any other method of HTTP finds, too: it is told which ones there are."""

    def decorate(answering: Any) -> Any:
        @functools.wraps(answering)
        def answered(self: Any, request: Any, **words: Any) -> Any:
            if request.method not in methods:
                allowed = ", ".join(methods)
                refused = answer(405, {"error": f"{path} takes {allowed} only"})
                refused.headers["Allow"] = allowed
                return refused
            return answering(self, request, **words)

        return route(NAME, path)(answered)

    return decorate


class Api(ControllerBase):
    """Answers requests; made anew by Ryu for each."""

    @resource("/v1/status", "GET", "HEAD")
    def status(self, request: Any, **_: Any) -> Any:
        """The cluster as it is now."""
        return answer(200, self.data[NAME].status())

    @resource("/v1/events", "GET", "HEAD")
    def events(self, request: Any, **_: Any) -> Any:
        """What has happened to it."""
        try:
            after = _number(request.GET.get("after", "0"))
        except ValueError as error:
            return answer(400, {"error": f"after: {error}"})
        return answer(200, self.data[NAME].events(after))

    @resource("/v1/history", "GET", "HEAD")
    def history(self, request: Any, **_: Any) -> Any:
        """New sessions of late."""
        return answer(200, self.data[NAME].history(), indent=None)

    @resource("/v1/openapi.json", "GET", "HEAD")
    def description(self, request: Any, **_: Any) -> Any:
        """How to ask."""
        return answer(200, description())

    @resource("/metrics", "GET", "HEAD")
    def metrics(self, request: Any, **_: Any) -> Any:
        """The cluster as it is now, and more numbers, for Prometheus."""
        body, content_type = self.data[NAME].metrics(request.headers.get("Accept", ""))
        return Response(body=body, headerlist=[("Content-Type", content_type)])

    @resource("/v1/method", "POST")
    def method(self, request: Any, **_: Any) -> Any:
        """The order to share new sessions out by another method."""
        return self._given(
            request,
            lambda: order_forms.method(body(request)),
            lambda status: {"method": status["method"]},
        )

    @resource("/v1/units/{unit}/{verb}", "POST")
    def order(self, request: Any, unit: str, verb: str, **_: Any) -> Any:
        """An order about a unit."""
        return self._given(
            request,
            lambda: order_forms.order(verb, unit, body(request)),
            lambda status: next(each for each in status["units"] if each["id"] == int(unit)),
        )

    def _given(
        self,
        request: Any,
        read: Callable[[], Order | Method],
        told: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> Any:
        """An order's way: `read` from the request, and of the status then what is `told` of it."""
        doors = self.data[NAME]
        try:
            doors.admit(request.headers.get("Authorization", ""), request.remote_addr)
            doors.give(read())
        except TurnedAway as error:
            refused = answer(error.code, {"error": str(error)})
            if error.code == 401:  # RFC 9110, section 11.6.1
                refused.headers["WWW-Authenticate"] = 'Bearer realm="synod"'
            return refused
        except NoSuch as error:
            return answer(404, {"error": str(error)})
        except Refusal as error:
            return answer(409, {"error": str(error)})
        except TooLong as error:
            return answer(413, {"error": str(error)})
        except ValueError as error:
            return answer(400, {"error": str(error)})
        return answer(200, told(doors.status()))


class Nothing(ControllerBase):
    """Answers for all paths that nobody else answers for."""

    @route(NAME, "/{path:.*}")
    def nothing(self, request: Any, path: str, **_: Any) -> Any:
        """In the words of all other answers."""
        return answer(404, {"error": f"there is nothing at /{path}"})


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ValueError(f"{text!r} is not a number")
    return int(text)


def serve(wsgi: WSGIApplication, doors: Doors) -> None:
    """Answer from now on."""
    wsgi.register(Api, {NAME: doors})


def refuse_the_rest(wsgi: WSGIApplication) -> None:
    """What hasn't been registered by now isn't there."""
    wsgi.register(Nothing)
