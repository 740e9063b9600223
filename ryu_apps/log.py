"""The app's log: one line an event, as `agents.wire.log_line` has it, whoever has something to say.

Ryu and eventlet write to loggers of their own (`ryu.lib.hub.LoggingWrapper`). What they say is told
as `event=log`, an HTTP request as `event=http_request`: those that change something or fail. (A
page that is open asks several things a second, Prometheus and `synod` do so for ever.) Both at most
so many times a second, as all that whoever can reach the app makes it say.

What follows a line by an exception stands below it, indented. Whoever has chosen formats by
`ryu-manager --log-config-file` keeps them.
"""

import logging
import re
import time
from collections.abc import Callable

from agents.wire.log_line import Pace, encode
from ryu_apps.core.events import Line

LOG = logging.getLogger("synod")
_LINE = "synod_line"  # of a record: its message is a whole line

_REQUESTS = "ryu.lib.hub"
_IDLE = re.compile(r'\(\d+\) (accepted|timed out) |.*"(GET|HEAD) \S* HTTP/[\d.]+" (2\d\d|304) ')
# eventlet's DEFAULT_LOG_FORMAT (eventlet/wsgi.py); the address before a comma is a proxy's word.
_REQUEST = re.compile(r'(\S+) - \S+ \[[^]]*\] "(\S+) (\S+) HTTP/\S+" (\d+) \d+ ([\d.]+)$')


def begin() -> None:
    """From now on; for handlers for which nobody has chosen a format."""
    logging.getLogger(_REQUESTS).addFilter(lambda record: not _IDLE.match(record.getMessage()))
    form = _Form()
    for handler in logging.getLogger().handlers:
        if handler.formatter is None:
            handler.setFormatter(form)
            handler.addFilter(_Sieve())


def write(line: Line) -> None:
    """One line. How often is the core's to say."""
    _write(logging.WARNING if line.warning else logging.INFO, line)


def bug(where: str) -> None:
    """An exception that nobody expected, which is just being handled."""
    _write(logging.CRITICAL, Line(True, "bug", {"in": where}), with_exception=True)


def _write(level: int, line: Line, with_exception: bool = False) -> None:
    text = encode(time.time(), line.event, line.fields)
    LOG.log(level, "%s", text, exc_info=with_exception, extra={_LINE: True})


def told_by_others(record: logging.LogRecord) -> Line:
    """What another's record says."""
    text = record.getMessage()
    if found := _REQUEST.match(text):
        names = ("address", "method", "path", "status", "seconds")
        return Line(False, "http_request", dict(zip(names, found.groups(), strict=True)))
    told = {"logger": record.name, "level": record.levelname.lower(), "text": text}
    return Line(record.levelno >= logging.WARNING, "log", told)


class _Sieve(logging.Filter):
    """Passes all of our own, and at most so many of others'."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._pace = Pace()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is told; another's record becomes the line that it is."""
        if hasattr(record, _LINE):
            return True
        line = told_by_others(record)
        if not self._pace.admits(self._clock(), line.event):
            return False
        record.msg = encode(record.created, line.event, self._pace.told(line.event, line.fields))
        record.args = None
        setattr(record, _LINE, True)
        return True


class _Form(logging.Formatter):
    """As the record says it; what an exception says below, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """As it is everywhere, but for the spaces. (A line of ours has no other ends of lines.)"""
        return super().format(record).replace("\n", "\n  ")
