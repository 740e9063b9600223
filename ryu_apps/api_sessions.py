"""HTTP about single sessions, by Ryu's own WSGI server. All JSON, and nothing changes by it.

GET  /v1/sessions   unit=N src=ADDR[/LEN] dst=ADDR[/LEN] port=N limit=N after=NEXT: live sessions
GET  /v1/explain    src=IP:PORT dst=IP:PORT: which unit has that session, why, will it survive?

What can't be understood is answered by 400 and {"error": why}, one question too many by 503 and the
same. One is answered at a time, in steps between which the app decides: so none of it holds a
session up for long, whoever asks.
"""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ryu.app.wsgi import ControllerBase, WSGIApplication
from ryu.lib import hub

from ryu_apps.api import NAME, answer, resource
from ryu_apps.core.controller import Controller
from ryu_apps.core.events import Effect
from ryu_apps.core.explaining import Steps, asked_for, explaining
from ryu_apps.core.listing import listing, wanted
from ryu_apps.core.moments import Moment

MOST_WAITING = 8  # questions that are asked at a time: one is answered, the others wait
PATIENCE = 1.0  # seconds for the answers of units, and again for those of a bridge
LOOK = 0.005  # seconds between looks whether they are there
# Seconds between two explanations, each of which asks an agent twice at most: agents answer no more
# than so much (agents/core_answering.py).
PAUSE = 0.2

Do = Callable[[Iterable[Effect]], None]

Answer = dict[str, Any]


class Busy(Exception):
    """Too many questions wait already."""


class Desk:
    """Answers questions about sessions, one after the other."""

    def __init__(self, controller: Controller, do: Do) -> None:
        self._controller = controller
        self._do = do
        self._turn = hub.Semaphore(1)
        self._waiting = 0
        self._next = 0.0

    def sessions(self, query: dict[str, str]) -> Answer:
        """Live sessions, a page. ValueError: what is wrong with the query."""
        asked = wanted(query)
        with self._my_turn():
            found = _stepwise(listing(self._controller.sessions, asked, _day_time))
        return {"time": time.time(), **found}

    def explain(self, query: dict[str, str]) -> Answer:
        """All about one session. ValueError: what is wrong with the query."""
        asked = asked_for(query)
        with self._my_turn():
            hub.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + PAUSE
            found = self._ask(explaining(self._controller, asked, _day_time))
        return {"time": time.time(), **found}

    def _ask(self, steps: Steps) -> Answer:
        """Run steps to their end, and wait between two for what units answer."""
        try:
            question, effects = next(steps)
            while True:
                self._do(effects)
                until = time.monotonic() + PATIENCE
                while not question.done and time.monotonic() < until:
                    hub.sleep(LOOK)
                question, effects = steps.send(time.monotonic())
        except StopIteration as end:
            found: Answer = end.value
            return found

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

    @resource("/v1/sessions", "GET", "HEAD")
    def sessions(self, request: Any, **_: Any) -> Any:
        """Some of the live sessions."""
        return _respond(self.data[NAME].sessions, request)

    @resource("/v1/explain", "GET", "HEAD")
    def explain(self, request: Any, **_: Any) -> Any:
        """Which unit has a session, and why."""
        return _respond(self.data[NAME].explain, request)


def _respond(found: Callable[[dict[str, str]], Answer], request: Any) -> Any:
    try:
        # Without indentation, json encodes in C: a page of sessions in a fifth of the time.
        return answer(200, found(dict(request.GET)), indent=None)
    except UnicodeDecodeError:
        return answer(400, {"error": "the query is not UTF-8"})
    except ValueError as error:
        return answer(400, {"error": str(error)})
    except Busy as error:
        return answer(503, {"error": str(error)})


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
    return Moment(time.monotonic(), time.time()).date(core) if math.isfinite(core) else None


def serve(wsgi: WSGIApplication, controller: Controller, do: Do) -> None:
    """Answer from now on; `do` has done what the core wants done."""
    wsgi.register(SessionsApi, {NAME: Desk(controller, do)})
