"""The app, but slow: each decision takes some milliseconds more, so that it can be asked for more
than it can decide by a flood that the rest of one small machine still carries.

    SYNOD_SLOWNESS=0.003 ryu-manager tests.bench.slow_app

It is the process that sleeps, not a greenlet: while it decides nothing else of it runs, as if it
were busy; but the core is left to the rest. Nothing else differs.
"""

import os
from typing import Any

from eventlet import patcher

from ryu_apps.core.sessions import Sessions
from ryu_apps.load_balancer import LoadBalancer

SLOWNESS = float(os.environ["SYNOD_SLOWNESS"])  # seconds

_sleep = patcher.original("time").sleep
_decide = Sessions.decide


def _decide_slowly(self: Sessions, *arguments: Any) -> Any:
    _sleep(SLOWNESS)
    return _decide(self, *arguments)


class SlowLoadBalancer(LoadBalancer):
    """Ryu runs the apps that a module defines, not those that it imports."""


Sessions.decide = _decide_slowly  # type: ignore[assignment,method-assign]
