"""HTTP about single sessions, by Ryu's own WSGI server. All JSON, and nothing changes by it.

GET  /v1/sessions   unit=N src=ADDR[/LEN] dst=ADDR[/LEN] port=N limit=N after=NEXT: live sessions

What can't be understood is answered by 400 and {"error": why}, one question too many by 503 and the
same. One is answered at a time, in steps between which the app decides: so none of it holds a
session up for long, whoever asks.
"""

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route
from ryu.lib import hub

from ryu_apps.core.controller import Controller
from ryu_apps.core.listing import listing, wanted

NAME = "sessions"
MOST_WAITING = 8  # questions that wait for their turn

Answer = dict[str, Any]


class Busy(Exception):
    """Too many questions wait already."""


class Desk:
    """Answers questions about sessions, one after the other."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._turn = hub.Semaphore(1)
        self._waiting = 0

    def sessions(self, query: dict[str, str]) -> Answer:
        """Live sessions, a page. ValueError: what is wrong with the query."""
        asked = wanted(query)
        with self._my_turn():
            found = _stepwise(listing(self._controller.sessions, asked, _day_time))
        return {"time": time.time(), **found}

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if self._waiting >= MOST_WAITING:
            raise Busy("too many questions wait for their answers already: ask again")
        self._waiting += 1
        try:
            with self._turn:
                yield
        finally:
            self._waiting -= 1


class SessionsApi(ControllerBase):
    """Answers requests; made anew by Ryu for each."""

    @route(NAME, "/v1/sessions", methods=["GET"])
    def sessions(self, request: Any, **_: Any) -> Any:
        """Some of the live sessions."""
        return _respond(self.data[NAME].sessions, request)


def _respond(answer: Callable[[dict[str, str]], Answer], request: Any) -> Any:
    try:
        return _json(200, answer(dict(request.GET)))
    except UnicodeDecodeError:
        return _json(400, {"error": "the query is not UTF-8"})
    except ValueError as error:
        return _json(400, {"error": str(error)})
    except Busy as error:
        return _json(503, {"error": str(error)})


def _json(code: int, value: Answer) -> Any:
    # Without indentation, json encodes in C: a page of sessions in a fifth of the time.
    text = json.dumps(value) + "\n"
    return Response(status=code, content_type="application/json", charset="UTF-8", text=text)


def _stepwise(steps: Generator[None, None, Answer]) -> Answer:
    """Run steps to their end, and have everybody else take a turn between them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Answer = end.value
            return found
        hub.sleep(0)


def _day_time(core: float) -> float | None:
    """Seconds since 1970 of a time of the core's clock; None if that isn't known."""
    ago = time.monotonic() - core
    return round(time.time() - ago, 3) if ago != float("inf") else None


def serve(wsgi: WSGIApplication, controller: Controller) -> None:
    """Answer from now on."""
    wsgi.register(SessionsApi, {NAME: Desk(controller)})
