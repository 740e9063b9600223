"""What a unit's bridge has by way of static flows, and what it takes to give it what it should.

Only cookies are compared. First what is missing is added, then what is superfluous deleted, then a
barrier: there is no moment in which a packet finds less than it would have found before or after.
Session flows are never touched.
"""

from dataclasses import dataclass, field
from itertools import count

from ryu_apps.core.events import AskStatic, Install
from ryu_apps.core.flows import Flow


@dataclass(slots=True)
class Bridge:
    """One unit's bridge; `installed` is None until it has answered what it has."""

    unit: int
    tokens: "count[int]"
    installed: frozenset[int] | None = None
    wanted: dict[int, Flow] = field(default_factory=dict)
    awaited: int = 0  # token of the answer or barrier that is due
    since: float = 0.0  # since when
    refused: bool = False  # something that was sent since it was asked has been refused

    def ask(self, now: float) -> AskStatic:
        """Start from nothing: what does it have?"""
        self.installed, self.refused, self.since = None, False, now
        self.awaited = next(self.tokens)
        return AskStatic(self.unit, self.awaited)

    def bring(
        self, wanted: tuple[Flow, ...], present: frozenset[int], now: float, *, keep: bool
    ) -> Install:
        """From the static flows that are present to those wanted; `keep` deletes nothing."""
        self.wanted = {flow.cookie: flow for flow in wanted}
        self.awaited, self.since = next(self.tokens), now
        self.installed = frozenset(self.wanted) | (present if keep else frozenset())
        add = tuple(flow for flow in wanted if flow.cookie not in present)
        return Install(self.unit, add, tuple(sorted(present - self.installed)), self.awaited)
