"""What the log has of HTTP requests: those that change something, and those that fail.

A page that is open asks several things a second, Prometheus and `synod` do so for ever: a line for
each, and for each connection, would fill a disk with nothing. eventlet writes them, through a
logger of Ryu's (`ryu.lib.hub`, `LoggingWrapper`).
"""

import logging
import re

_LOGGER = "ryu.lib.hub"
_IDLE = re.compile(r'\(\d+\) accepted |.*"(GET|HEAD) \S* HTTP/[\d.]+" (2\d\d|304) ')


def quieten() -> None:
    """Leave them out from now on."""
    logging.getLogger(_LOGGER).addFilter(_tells)


def _tells(record: logging.LogRecord) -> bool:
    return not _IDLE.match(record.getMessage())
