"""Questions of the app about one session, on which somebody waits: what the kernel has of it, and
what would become of its SYN.

It is asked rarely, and what has to do with sessions that come goes first: a question costs one
request of the kernel among those of a wake-up, and what takes commands runs beside the loop
(`agents.tracing`), one at a time. What is beyond a small budget goes unanswered.
"""

import errno
import json
from collections.abc import Generator, Iterator
from typing import Any

from agents.core_facts import Desk, Facts, Steps
from agents.ctnetlink import Entry, Get
from agents.outcomes import Outcome
from agents.wire import inquiry, ports
from agents.wire.control import Message
from agents.wire.inquiry import LONGEST, Held, Traced
from agents.wire.packet import inverse

MOST = 4.0  # questions at once,
A_SECOND = 20.0  # and in the long run: twice what an app asks

# The sender of a SYN that never was: its address is of group 0, which is no cluster's.
SOMEBODY = "02:53:59:00:00:03"

Command = tuple[str, ...]
# What to run next; it is sent what that said. Ends with what was found.
Tracing = Generator[Command, str, Traced]


class Answering:
    """Answers what it is asked."""

    def __init__(self, facts: Facts, desk: Desk, now: float) -> None:
        self._facts = facts
        self._desk = desk
        self._budget, self._counted = MOST, now
        self._tracing: int | None = None  # token of the question that commands run for
        self._begun: Tracing | None = None

    def asked(self, message: Message, now: float) -> Iterator[Steps]:
        """A question of the app's."""
        what, tuple12 = inquiry.question(message)
        self._budget = min(MOST, self._budget + (now - self._counted) * A_SECOND)
        self._counted = now
        busy = what == inquiry.TRACE and self._tracing is not None
        if self._budget < 1 or busy:
            self._desk.counters[Outcome.QUESTION_REFUSED] += 1
            return
        self._budget -= 1
        if what == inquiry.TRACE:
            self._tracing, self._begun = message.token, trace(self._facts, tuple12)
            self._desk.counters[Outcome.TRACING] += 1
        else:
            yield self._entry(message.token, tuple12)

    def begun(self) -> Tracing | None:
        """What is to be run now, once."""
        tracing, self._begun = self._begun, None
        return tracing

    def traced(self, found: Traced) -> None:
        """All of that has run."""
        assert self._tracing is not None  # it is why there was something to run
        self._answer(self._tracing, found)
        self._tracing = None

    def _entry(self, token: int, tuple12: bytes) -> Steps:
        found = yield Get(tuple12)
        if found == errno.ENOENT:  # the same with its ends exchanged: one side as the other sees it
            found = yield Get(inverse(tuple12))
        self._answer(token, _held(found))
        return Outcome.ANSWERED

    def _answer(self, token: int, answer: Held | Traced) -> None:
        group = self._facts.cluster.group
        self._desk.frames += inquiry.answer_frames(group, self._facts.unit, token, answer)


def trace(facts: Facts, tuple12: bytes) -> Tracing:
    """A SYN with this tuple, on this unit as its primary: to the kernel, and out of it.

    By which interface it comes is what the unit's routes say of its source, as in a reverse path
    check. What the user's rules do to it in between is not asked: only the packet itself would
    tell.
    """
    bridge, commands = facts.cluster.bridge, []
    src, dst = (".".join(map(str, tuple12[at : at + 4])) for at in (0, 4))
    flow = f"tcp,nw_src={src},nw_dst={dst},tcp_flags=syn"
    sport, dport = (int.from_bytes(tuple12[at : at + 2], "big") for at in (8, 10))
    flow += f",tp_src={sport},tp_dst={dport}"

    def run(*command: str) -> Generator[Command, str, str]:
        output = yield command
        commands.append((" ".join(command), output[:LONGEST]))
        return output

    names = {each.name: each.index for each in facts.cluster.interfaces}
    came = _device((yield from run("ip", "-j", "route", "get", src)))
    if came not in names:
        return Traced(commands=tuple(commands))
    virtual = ports.mac_text(facts.virtual_macs[names[came]])
    way_in = f"in_port={ports.nic_port(names[came])},dl_src={SOMEBODY},dl_dst={virtual}"
    yield from run("ovs-appctl", "-T", "1", "ofproto/trace", bridge, f"{way_in},{flow}")
    route = yield from run("ip", "-j", "route", "get", dst, "from", src, "iif", came)
    leaves, local = _device(route), _is_local(route)
    if local or leaves not in names:
        return Traced(came, "", local, tuple(commands))
    own = ports.mac_text(facts.own_macs[names[leaves]])
    way_out = f"in_port={ports.kernel_port(names[leaves])},dl_src={own},dl_dst={SOMEBODY}"
    yield from run("ovs-appctl", "-T", "1", "ofproto/trace", bridge, f"{way_out},{flow}")
    return Traced(came, leaves, False, tuple(commands))


def _held(found: object) -> Held:
    if isinstance(found, Entry):
        return Held(
            error=0,
            orig=found.orig,
            reply=found.reply,
            status=found.status,
            state=found.state,
            timeout=found.timeout,
            mark=found.mark,
            labels=found.labels,
            helper=found.helper,
            master=found.master,
        )
    return Held(found if isinstance(found, int) else 0xFFFF)


def _route(output: str) -> dict[str, Any]:
    """The one route that `ip -j route get` tells of; nothing, if there is none."""
    try:
        (found,) = json.loads(output)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _device(output: str) -> str:
    return str(_route(output).get("dev", ""))


def _is_local(output: str) -> bool:
    return _route(output).get("type") == "local"
