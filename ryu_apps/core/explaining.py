"""Which unit has this session, why, and will it survive? And of one that isn't there: what would
become of its SYN?

Said from what units' kernels and the primary's bridge answer, not from what the app believes: it
says that beside. Pure, and done in steps: each is a question and what it takes to ask it; whoever
runs them waits for the answers as long as there is patience, and goes on with those that came.
"""

import re
from collections.abc import Callable, Generator, Mapping
from ipaddress import IPv4Address
from typing import Any

from agents.wire.inquiry import Held, Traced
from agents.wire.labels import names_of
from agents.wire.packet import inverse, tuple12, tuple_text
from agents.wire.ports import nic_port
from agents.wire.tracking import ASSURED, SEEN_REPLY, STATES
from ryu_apps.core import verdicts
from ryu_apps.core.controller import Controller
from ryu_apps.core.events import Effect, Seen
from ryu_apps.core.flows import Flow
from ryu_apps.core.listing import ends, faces, number, record
from ryu_apps.core.pipeline import SERVING, UNIT, session_flow
from ryu_apps.core.questions import Question
from ryu_apps.core.sessions import Session
from ryu_apps.core.verdicts import Evidence

Answer = dict[str, Any]
At = Callable[[float], float | None]  # a time of day of the core's time, None if it isn't known
# A question and what asks it; it is sent the time when the waiting is over. Ends with the answer.
Steps = Generator[tuple[Question[Any], list[Effect]], float, Answer]

_PORT = number(1, 65535)


def asked_for(query: Mapping[str, str]) -> bytes:
    """The tuple that a query names by `src` and `dst`; ValueError says what is wrong with it."""
    if query.keys() != {"src", "dst"}:
        raise ValueError("src and dst are needed, each like 10.1.0.10:40000, and nothing else")
    (src, sport), (dst, dport) = (_endpoint(name, query[name]) for name in ("src", "dst"))
    return tuple12(src, dst, sport, dport)


def _endpoint(name: str, text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    try:
        return str(IPv4Address(address)), _PORT(port)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not like 10.1.0.10:40000") from None


def explaining(controller: Controller, asked: bytes, at: At) -> Steps:
    """All about the session of that tuple, in either direction, before translation or after it."""
    members = controller.members
    units = [member.unit.id for member in members if member.connection is not None]
    question, effects = controller.questions.entries(units, asked)
    now = yield question, effects
    evidence = _evidence(controller, asked, dict(question.answers), now)
    src, dst = ends(evidence.orig)
    answer: Answer = {
        "src": src,
        "dst": dst,
        "session": None,
        "flows": [],
        "tracked": [],
        "syn": None,
    }
    answer["units"] = [_unit(controller, evidence, member.unit.id) for member in members]
    if evidence.session:
        answer["session"] = record(evidence.orig, evidence.session, at)
        answer["flows"] = yield from _flows(controller, evidence.orig, evidence.session)
        answer["tracked"] = yield from _tracked(controller, evidence.orig, evidence.session)
    if evidence.there:
        regime = evidence.regime
        answer["choice"] = {
            "rule": verdicts.rule(evidence),
            "method": regime.method if regime else None,
            "weights": {str(unit): weight for unit, weight in regime.shares} if regime else None,
            "since": at(regime.since) if regime else None,
        }
        answer["fates"] = [fate._asdict() for fate in verdicts.fates(evidence)]
        answer["summary"] = verdicts.of_session(evidence)
        return answer
    syn, summary = yield from _syn(controller, asked, evidence)
    return answer | {"choice": None, "fates": [], "syn": syn, "summary": summary}


def _evidence(controller: Controller, asked: bytes, held: dict[int, Held], now: float) -> Evidence:
    primary = controller.members.primary_id
    first = sorted(held, key=lambda unit: unit != primary)
    found = next((held[unit] for unit in first if not held[unit].error), None)
    faces = (found.orig,) if found else (asked, inverse(asked))
    orig = next((face for face in faces if controller.sessions.get(face)), faces[0])
    session = controller.sessions.get(orig)
    regimes = controller.formation.regimes
    return Evidence(
        cluster=controller.cluster,
        members=controller.members,
        orig=orig,
        entry=found,
        held=held,
        session=session,
        regime=regimes.at(session.since) if session else None,
        moves=tuple(regimes.moves(session.since)) if session else (),
        overloaded=controller.overload.why,
        now=now,
    )


def _unit(controller: Controller, evidence: Evidence, unit: int) -> Answer:
    member, held = controller.members.get(unit), evidence.held.get(unit)
    assert member
    return {
        "id": unit,
        "role": member.role.value,
        "state": member.state.value,
        "serves": bool(evidence.session and evidence.session.unit == unit),
        "answered": held is not None,
        "error": held.error if held else None,
        "entry": entry_of(held) if held and not held.error else None,
    }


def entry_of(held: Held) -> Answer:
    """A kernel's entry as JSON."""
    return {
        **faces(held.orig, held.reply),
        "state": STATES[held.state] if held.state < len(STATES) else str(held.state),
        "timeout": held.timeout,
        "replied": bool(held.status & SEEN_REPLY),
        "assured": bool(held.status & ASSURED),
        "mark": held.mark,
        "labels": list(names_of(held.labels)),
        "helper": held.helper or None,
        "master": tuple_text(held.master) if held.master else None,
    }


# -- the flows that carry it


def _flows(
    controller: Controller, orig: bytes, session: Session
) -> Generator[tuple[Question[Any], list[Effect]], float, list[Answer]]:
    carriers = carrying(controller, orig, session)
    if not carriers:
        return []
    primary = controller.members.primary_id
    question, effects = controller.questions.flows(primary, [flow for flow, _ in carriers])
    yield question, effects
    answers = question.answers
    return [
        _flow(flow, of, answers.get(place), answered=place in answers)
        for place, (flow, of) in enumerate(carriers)
    ]


def carrying(controller: Controller, orig: bytes, session: Session) -> list[tuple[Flow, str]]:
    """The flows of the primary's bridge by which a session's packets go, in the order of tables,
    and whose packets each is for.
    """
    primary, unit = controller.members.primary_id, session.unit
    if not primary:
        return []
    wanted = controller.formation.bridges.of(primary).wanted.values()
    if unit == primary:
        every = "all packets of no other unit's session"
        return [(flow, every) for flow in wanted if flow.name == "own_session"]
    serving = controller.formation.takeover.homes.get(unit, unit)
    nics: dict[object, str] = {nic_port(i.index): i.name for i in controller.cluster.interfaces}
    carriers: list[tuple[Flow, str]] = []
    if controller.cluster.session_table == "flows":
        carriers += [(session_flow(unit, each), tuple_text(each)) for each in (orig, session.reply)]
    for flow in wanted:
        match = dict(flow.match)
        if flow.name in ("marked", "served_by") and unit in (match.get("ct_mark"), match.get(UNIT)):
            carriers.append((flow, f"all sessions of unit {unit}"))
        if flow.name in ("to_peer", "to_self") and match.get(SERVING) == serving:
            name = nics.get(match["in_port"])
            carriers.append((flow, f"all packets to unit {serving} that come by {name}"))
    return carriers


def _flow(flow: Flow, of: str, seen: Seen | None, *, answered: bool) -> Answer:
    return {
        "name": flow.name,
        "table": int(flow.table),
        "cookie": f"0x{flow.cookie:016x}",
        "of": of,
        "answered": answered,
        "there": seen is not None,
        "packets": seen.packets if seen else None,
        "bytes": seen.octets if seen else None,
        "seconds": round(seen.seconds, 3) if seen else None,
    }


def _tracked(
    controller: Controller, orig: bytes, session: Session
) -> Generator[tuple[Question[Any], list[Effect]], float, list[Answer]]:
    """What the primary's switch has of it in its connection tracker, if that is its session
    table: asked by a packet each way, as what it has of one session nothing else tells.
    """
    primary = controller.members.primary_id
    if not primary or controller.cluster.session_table != "conntrack":
        return []
    both = orig, session.reply
    question, effects = controller.questions.marks(primary, *both)
    yield question, effects
    return [
        {"of": tuple_text(each), "answered": place in question.answers, "mark": mark}
        for place, each in enumerate(both)
        for mark in (question.answers.get(place),)
    ]


# -- what would become of its SYN


def _syn(
    controller: Controller, asked: bytes, evidence: Evidence
) -> Generator[tuple[Question[Any], list[Effect]], float, tuple[Answer | None, list[str]]]:
    primary = controller.members.primary
    if primary is None or primary.connection is None:
        return None, verdicts.of_syn(evidence, None, ())
    unit = primary.unit.id
    question, effects = controller.questions.trace(unit, asked)
    yield question, effects
    traced = question.answers.get(unit)
    wanted = controller.formation.bridges.of(unit).wanted
    rows = tuple(_rows(output, wanted) for command, output in traced.commands) if traced else ()
    shared = controller.formation.bridges.diverting
    regime = controller.formation.regimes.now()
    chosen = None
    if traced and traced.leaves:
        chosen = controller.sessions.foretell(asked[:4]) if shared else unit
    syn = {
        "unit": unit,
        "answered": traced is not None,
        **(_traced(traced, rows) if traced else {}),
        "balancing": shared,
        "method": regime.method if regime else None,
        "chosen": chosen,
    }
    summary = verdicts.of_syn(evidence, traced, rows)
    if chosen:
        summary += verdicts.of_choice(evidence, chosen, regime if shared else None)
    return syn, summary


def _traced(traced: Traced, rows: tuple[tuple[str, ...], ...]) -> Answer:
    return {
        "came": traced.came or None,
        "leaves": traced.leaves or None,
        "local": traced.local,
        "commands": [
            {"command": command, "output": output, "flows": list(names)}
            for (command, output), names in zip(traced.commands, rows, strict=True)
        ],
    }


def _rows(output: str, wanted: dict[int, Flow]) -> tuple[str, ...]:
    """The rows of the pipeline that a trace went through, by their cookies."""
    cookies = (int(number, 16) for number in re.findall(r"cookie (0x[0-9a-f]{1,16})", output))
    return tuple(wanted[cookie].name for cookie in cookies if cookie in wanted)
