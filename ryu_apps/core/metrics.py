"""What Prometheus is told of the cluster, as plain data, made from the core alone.

Each metric is a row of METRICS: its name, kind, labels, meaning, and what reads its samples. None
walks over sessions, so that what a scrape costs depends on units and outcomes only. Times are
seconds. Label values are units' ids, the cluster's own names, and outcomes: at most MOST_OUTCOMES
of an agent, whatever it calls them.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import agents
from ryu_apps.core.cluster import THERE, Member, Role, State
from ryu_apps.core.controller import Controller
from ryu_apps.core.redundancy import unheard, unheld
from ryu_apps.core.sessions import MOST_SESSIONS

MOST_OUTCOMES = 256  # of one agent, by name; it has some 100
APPOINTMENTS = ("elected", "adopted", "promoted")  # the journal's `primary_…`

Sample = tuple[tuple[str, ...], float]  # the labels' values, and the sample's


class Kind(StrEnum):
    """What Prometheus calls a type."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"


class Metric(NamedTuple):
    """One row; `read` is given the time of the core's clock."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    read: Callable[[Controller, float], Iterable[Sample]]


# -- what reads the samples


def _one(value: Callable[[Controller], float]) -> Callable[[Controller, float], list[Sample]]:
    return lambda controller, _now: [((), value(controller))]


def _each(
    value: Callable[[Controller, Member, float], float | None],
) -> Callable[[Controller, float], Iterator[Sample]]:
    """A sample a unit; none where the value isn't known."""

    def read(controller: Controller, now: float) -> Iterator[Sample]:
        for member in controller.members:
            if (found := value(controller, member, now)) is not None:
                yield (str(member.unit.id),), found

    return read


def _one_of(
    values: Iterable[StrEnum], present: Callable[[Member], StrEnum]
) -> Callable[[Controller, float], Iterator[Sample]]:
    """A sample a unit and possible value: 1 for the present one."""
    possible = tuple(values)

    def read(controller: Controller, _now: float) -> Iterator[Sample]:
        for member in controller.members:
            for value in possible:
                yield (str(member.unit.id), value.value), float(present(member) is value)

    return read


def _counters(
    of: Callable[[Member], dict[str, int]],
) -> Callable[[Controller, float], Iterator[Sample]]:
    def read(controller: Controller, _now: float) -> Iterator[Sample]:
        for member in controller.members:
            for name, value in islice(of(member).items(), MOST_OUTCOMES):
                yield (str(member.unit.id), name), value

    return read


def _controller_info(controller: Controller, _now: float) -> list[Sample]:
    cluster, method = controller.cluster, controller.formation.method
    return [((cluster.name, method, cluster.session_table, agents.__version__), 1)]


def _unit_info(controller: Controller, _now: float) -> Iterator[Sample]:
    for member in controller.members:
        if told := member.announce:
            yield (str(member.unit.id), told.name, told.version), 1


def _outcomes(controller: Controller, _now: float) -> Iterator[Sample]:
    return (((name,), value) for name, value in controller.journal.counters.items())


def _appointments(controller: Controller, _now: float) -> Iterator[Sample]:
    counters = controller.journal.counters
    return (((how,), counters[f"primary_{how}"]) for how in APPOINTMENTS)


def _overloaded(controller: Controller, _now: float) -> Iterator[Sample]:
    overload = controller.overload
    return (((cause,), float(cause in overload.why)) for cause in overload.causes)


def _offers_waiting(controller: Controller, _now: float) -> list[Sample]:
    primary = controller.members.primary
    return [((), primary.announce.waiting)] if primary and primary.announce else []


def _data_links(controller: Controller, _now: float) -> Iterator[Sample]:
    for member in controller.members:
        down = controller.formation.links_down(member)
        for interface in controller.cluster.interfaces if member.announce else ():
            yield (str(member.unit.id), interface.name), float(interface.name not in down)


def _ha_links(controller: Controller, _now: float) -> Iterator[Sample]:
    for member in controller.members:
        yield from _pairs(controller, member, unheard(member, controller.members))


def _pickup(controller: Controller, _now: float) -> Iterator[Sample]:
    for member in controller.members:
        if controller.members.lacks(member) is not None:
            yield from _pairs(controller, member, unheld(member, controller.members))


def _pairs(controller: Controller, member: Member, lacking: tuple[int, ...]) -> Iterator[Sample]:
    """0 for each other unit that is lacking, 1 for the others; nothing of units that aren't
    there.
    """
    for other in controller.members if member.state in THERE and member.announce else ():
        if other is not member and other.state in THERE:
            labels = (str(member.unit.id), str(other.unit.id))
            yield labels, float(other.unit.id not in lacking)


def _age(since: float, now: float) -> float | None:
    return max(0.0, now - since) if math.isfinite(since) else None


# -- the rows

G, C, I = Kind.GAUGE, Kind.COUNTER, Kind.INFO  # noqa: E741
U = ("unit",)

METRICS = (
    Metric("synod_controller_info", I, ("cluster", "method", "session_table", "version"),
           "The cluster's name, its method and session table, the app's version.",
           _controller_info),
    Metric("synod_controller_boot_id", G, (),
           "A number that is another after each start of the app.",
           _one(lambda c: c.boot)),
    Metric("synod_controller_outcomes_total", C, ("outcome",),
           "What the app did and met, by the word in its log.",
           _outcomes),
    Metric("synod_term", G, (),
           "Grows by one with each change of primary; 0 while there never was one.",
           _one(lambda c: c.members.term)),
    Metric("synod_primary_present", G, (),
           "1 if a unit is primary and is up or degraded.",
           _one(lambda c: c.members.primary_present)),
    Metric("synod_primary_appointments_total", C, ("how",),
           "Primaries appointed: `elected` when the cluster formed, `adopted` by an app that was"
           " started anew, `promoted` after another.",
           _appointments),
    Metric("synod_balancing", G, (),
           "1 if new sessions are offered to the app; 0 if the primary serves them alone.",
           _one(lambda c: c.formation.bridges.diverting)),
    Metric("synod_overloaded", G, ("why",),
           "1 while the primary serves sessions alone because more begin than are shared out:"
           " they are beyond the `budget`, `undecided` in time, or more than the app remembers"
           " (`full`).",
           _overloaded),
    Metric("synod_offers_waiting", G, (),
           "Backlog: offers of the primary's agent that are not decided yet, as it said last.",
           _offers_waiting),
    Metric("synod_sessions_limit", G, (),
           "Sessions that the app can know; the primary serves what is beyond.",
           _one(lambda _: MOST_SESSIONS)),
    Metric("synod_unit_deaths_total", C, (),
           "Units that were found dead.",
           _one(lambda c: c.journal.counters["unit_dead"])),
    Metric("synod_unit_info", I, (*U, "name", "version"),
           "Host name and version that the unit's agent announces.",
           _unit_info),
    Metric("synod_unit_state", G, (*U, "state"),
           "1 for the state that the unit is in, 0 for the others.",
           _one_of(State, lambda m: m.state)),
    Metric("synod_unit_state_age_seconds", G, U,
           "For how long it has been in that state; absent before its first change.",
           _each(lambda _c, m, now: _age(m.since, now))),
    Metric("synod_unit_role", G, (*U, "role"),
           "1 for the role that the unit has, 0 for the others.",
           _one_of(Role, lambda m: m.role)),
    Metric("synod_unit_weight", G, U,
           "Its weight: that of the cluster's file, or what an operator gave it.",
           _each(lambda _c, m, _now: m.weight)),
    Metric("synod_unit_drained", G, U,
           "1 if an operator has drained it.",
           _each(lambda _c, m, _now: m.drained)),
    Metric("synod_unit_refused", G, U,
           "1 if its last announcement wasn't taken: another file, other MACs, another cluster.",
           _each(lambda _c, m, _now: bool(m.refusal))),
    Metric("synod_unit_heartbeat_age_seconds", G, U,
           "Since its agent was heard last; absent if it never was.",
           _each(lambda _c, m, now: _age(m.heard, now))),
    Metric("synod_unit_sessions", G, U,
           "Live sessions that it serves, as the app knows.",
           _each(lambda c, m, _now: c.sessions.live[m.unit.id])),
    Metric("synod_unit_sessions_serving", G, U,
           "Live sessions that it serves, as its agent says; absent if it was never heard.",
           _each(lambda _c, m, _now: m.announce.serving if m.announce else None)),
    Metric("synod_unit_sessions_decided_total", C, U,
           "Sessions that the app decided it serves.",
           _each(lambda c, m, _now: c.sessions.served[m.unit.id])),
    Metric("synod_unit_outcomes_total", C, (*U, "outcome"),
           "What its agent did and met, by the word in its log; since the agent was started.",
           _counters(lambda m: m.counters)),
    Metric("synod_unit_dropped_packets_total", C, (*U, "flow"),
           "Packets that its bridge dropped, by the name of the flow in the pipeline, or of the"
           " limit.",
           _counters(lambda m: m.drops)),
    Metric("synod_unit_data_link_up", G, (*U, "interface"),
           "1 if the NIC of that interface has a link, as its agent said last.",
           _data_links),
    Metric("synod_ha_link_up", G, (*U, "of"),
           "1 if the unit hears the other's (`of`) keepalives; only of two that are up or"
           " degraded.",
           _ha_links),
    Metric("synod_pickup_synced", G, (*U, "of"),
           "1 if the unit holds the other's (`of`) sessions; only of two that are up or degraded,"
           " and if session pickup is on.",
           _pickup),
)  # fmt: skip
