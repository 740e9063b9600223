"""Signals that would end this process: heard where it waits, and kept from it while it does what
must not stay half done.
"""

import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


@contextmanager
def heard() -> Iterator[socket.socket]:
    """A socket that can be read once a SIGTERM or SIGINT has come, in whichever thread. (Python
    calls a signal's handler in the main thread only, and not while that waits for others, if the
    kernel has chosen another thread for the signal: pthread_join() isn't interrupted then.)

    Afterwards neither ends the process either: it is about to.
    """
    waker, woken = socket.socketpair()
    with waker, woken:
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(-1)


@contextmanager
def noted() -> Iterator[list[int]]:
    """They are put in a list, and whoever has it looks there when it can be broken off. What is
    ignored (nohup(1)) stays so.
    """
    told: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    not_ignored = (each for each in _ENDING if signal.getsignal(each) != signal.SIG_IGN)
    with _handled(dict.fromkeys(not_ignored, note)):
        yield told


@contextmanager
def ignored() -> Iterator[None]:
    """They are for nobody, commands that are run meanwhile among them: a terminal's Ctrl-C goes to
    all (an ignored signal stays ignored in what is executed: execve(2)).
    """
    with _handled(dict.fromkeys(_ENDING, signal.SIG_IGN)):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    before = {number: signal.signal(number, how) for number, how in handlers.items()}
    try:
        yield
    finally:
        for number, how in before.items():
            signal.signal(number, how)
