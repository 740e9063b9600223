"""What follows from the evidence about a session: why it is where it is, and what its unit's death
would be to it; in sentences, and as data.

Nothing is asked here. What isn't known is said to be unknown: an app that was started anew doesn't
know when a session was decided, and a unit that doesn't answer may have anything.
"""

from collections.abc import Mapping
from typing import NamedTuple

from agents.config import Cluster
from agents.wire.inquiry import Held, Traced
from agents.wire.labels import balanced, interface_of
from agents.wire.packet import inverse, tuple_text
from agents.wire.tracking import OVER, SYN_SENT
from ryu_apps.core.cluster import Members
from ryu_apps.core.regimes import Move, Regime
from ryu_apps.core.sessions import Session


class Evidence(NamedTuple):
    """What is known of one session. `entry` is the primary's, or another unit's; `held` what units
    answered, `regime` what held when it was decided, `moves` who took over whose sessions since,
    `overloaded` why the primary serves more than its share now (`ryu_apps.core.overload`).
    """

    cluster: Cluster
    members: Members
    orig: bytes
    entry: Held | None
    held: Mapping[int, Held]
    session: Session | None
    regime: Regime | None
    moves: tuple[Move, ...]
    overloaded: tuple[str, ...]
    now: float

    @property
    def there(self) -> bool:
        """Is there such a session, by anybody's word?"""
        return bool(self.session or self.entry)

    @property
    def over(self) -> bool:
        """Have both sides closed it, or one reset it?"""
        return bool(self.entry and self.entry.state in OVER)

    @property
    def unit(self) -> int:
        """Who serves it: whoever the app says; what it doesn't know the primary serves."""
        return self.session.unit if self.session else self.members.primary_id


class Fate(NamedTuple):
    """If that unit dies: does the session go on (None: unknown), at which unit (0: none), why."""

    dies: int
    lives: bool | None
    at: int
    why: str


def rule(evidence: Evidence) -> str | None:
    """By which rule it was balanced: `all`, `labelled`, `master`; or wasn't: `unlabelled`,
    `local`. None without an entry to tell by.
    """
    entry = evidence.entry
    if entry is None:
        return None
    if not interface_of(entry.labels):
        return "local"
    if entry.master:
        return "master"
    if evidence.cluster.balance == "all":
        return "all"
    return "labelled" if balanced(entry.labels) else "unlabelled"


def fates(evidence: Evidence) -> list[Fate]:
    """What becomes of it if its unit dies, and if the primary does. None of one that is over."""
    primary = evidence.members.primary_id
    if not primary or evidence.over:
        return []
    return [_fate(evidence, dies) for dies in dict.fromkeys((evidence.unit, primary))]


def _fate(evidence: Evidence, dies: int) -> Fate:
    """The primary takes over an auxiliary's sessions; the primary's heir takes over all."""
    at = evidence.members.primary_id
    if dies == at:
        heir = evidence.members.heir()
        at = heir.unit.id if heir else 0
    if not at:
        return Fate(dies, False, 0, "no other unit is up")
    held = evidence.held.get(at)
    if held is None:
        return Fate(dies, None, at, f"unit {at}, which takes over, didn't answer")
    if held.error:
        off = evidence.cluster.pickup == "off"
        why = "session pickup is off" if off else "it is told once a session is established"
        return Fate(dies, False, 0, f"unit {at}, which takes over, has no entry of it ({why})")
    if evidence.entry and (held.orig, held.reply) != (evidence.entry.orig, evidence.entry.reply):
        return Fate(dies, False, 0, f"unit {at}, which takes over, has another session's entry")
    if held.state == SYN_SENT:
        why = f"unit {at} has its entry; its client has to send its SYN again"
        return Fate(dies, True, at, why)
    return Fate(dies, True, at, f"unit {at}, which takes over, has its entry")


# -- sentences


def of_session(evidence: Evidence) -> list[str]:
    """About a session that is there."""
    lines = [_who(evidence), *_why(evidence), *_beyond(evidence), *_moved(evidence)]
    lines.append(_translation(evidence))
    if evidence.over:
        lines.append("It is over: its entry is kept until its ports may be used again.")
    own = evidence.held.get(evidence.unit)
    if evidence.session and own and own.error:
        lines.append(
            f"Unit {evidence.unit}'s kernel has no entry of it: it has just ended, or is lost."
        )
    return lines + [_told(evidence, fate) for fate in fates(evidence)] + _silent(evidence)


def of_syn(
    evidence: Evidence, traced: Traced | None, rows: tuple[tuple[str, ...], ...]
) -> list[str]:
    """About one that isn't: as far as the kernel."""
    lines = ["No unit that answered has such a session, and neither has the app."]
    lines += _silent(evidence)
    primary = evidence.members.primary_id
    src, dst = (text.rpartition(":")[0] for text in tuple_text(evidence.orig).split(" > "))
    if not primary:
        return [*lines, "There is no primary: its SYN would get no answer."]
    if traced is None:
        return [*lines, f"Unit {primary}, the primary, didn't say what would become of its SYN."]
    if not traced.came:
        return [*lines, f"By unit {primary}'s routes {src} is behind none of its interfaces."]
    passed = ", ".join(rows[1]) if len(rows) > 1 and rows[1] else "no flow of ours"
    lines.append(
        f"Its SYN would come by {traced.came}, and unit {primary}'s bridge would give it to its "
        f"kernel ({passed})."
        if "nic_syn" in passed
        else f"Its SYN would come by {traced.came}, and meet there: {passed}."
    )
    if traced.local:
        return [*lines, f"{dst} is the unit's own: unless a rule translates it, it stays there."]
    if not traced.leaves:
        return [*lines, f"Unit {primary} has no route to {dst} by an interface of the cluster."]
    out = ", ".join(rows[3]) if len(rows) > 3 and rows[3] else "no flow of ours"
    shown = "and be shown to the agent" if "divert" in out else "and go out as the primary's"
    lines.append(
        f"If the rules of unit {primary} let it through, it would leave by {traced.leaves}, "
        f"{shown} ({out})."
    )
    return lines


def of_choice(evidence: Evidence, chosen: int, regime: Regime | None) -> list[str]:
    """Whom a session would be given to that the rules let through; `regime`: if it is balanced."""
    if regime is None:
        return [f"Unit {chosen} would serve it: there is no other to give it to."]
    chance = "" if evidence.cluster.balance == "all" else ", if a rule labels it `balance`"
    lines = [f"The app would give it to unit {chosen} now{chance}: {_among(regime)}."]
    if evidence.overloaded:
        primary = evidence.members.primary_id
        lines.append(
            f"{_too_many(evidence)}: if it is one too many, unit {primary} would serve it."
        )
    return lines


def ago(seconds: float) -> str:
    """How long that is."""
    whole = max(0, round(seconds))
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _who(evidence: Evidence) -> str:
    unit = evidence.unit
    if not unit:
        return "There is no primary, and the app knows nothing of it."
    who = f"Unit {unit}" + (", the primary," if unit == evidence.members.primary_id else "")
    if evidence.session is None:
        return f"{who} serves it, by itself: the app doesn't know of it."
    if evidence.session.since == float("-inf"):
        return f"{who} serves it, decided before the app began; how isn't known."
    return f"{who} serves it, decided {ago(evidence.now - evidence.session.since)} ago."


def _why(evidence: Evidence) -> list[str]:
    why = rule(evidence)
    lines = {
        "local": ["It begins or ends at the unit itself, which isn't balanced."],
        "unlabelled": ["No rule has labelled it `balance`."],
    }.get(why or "", [])
    if evidence.session is None or lines:
        return lines
    entry, regime = evidence.entry, evidence.regime
    if why == "master":
        assert entry  # by which it is known
        return [f"It has the unit of the session that announced it: {tuple_text(entry.master)}."]
    said = "all forwarded TCP is balanced" if why == "all" else "a rule labelled it `balance`"
    if regime is None:
        return [f"{said[0].upper()}{said[1:]}."] if why else []
    if not regime.shares:
        return ["No unit could be chosen then: the primary served alone."]
    return [f"It was chosen by method: {_among(regime)}" + (f"; {said}." if why else ".")]


def _beyond(evidence: Evidence) -> list[str]:
    """That the primary may have it because too many began: of which ones it is so nobody keeps."""
    chosen = rule(evidence) in {"all", "labelled", None}
    if not evidence.overloaded or not chosen or evidence.unit != evidence.members.primary_id:
        return []
    return [f"{_too_many(evidence)}: this may be one of the rest, which the primary serves."]


def _too_many(evidence: Evidence) -> str:
    return f"More sessions begin now than are shared out ({', '.join(evidence.overloaded)})"


def _among(regime: Regime) -> str:
    units = ", ".join(str(unit) for unit, _ in regime.shares)
    weights = ":".join(str(weight) for _, weight in regime.shares)
    weighing = f", weights {weights}" if "weighted" in regime.method or _is_hash(regime) else ""
    among = f"among units {units}" if len(regime.shares) > 1 else f"with unit {units} alone"
    return f"{regime.method} {among}{weighing}"


def _is_hash(regime: Regime) -> bool:
    return regime.method == "source-hash"


def _moved(evidence: Evidence) -> list[str]:
    """That it may have been another unit's. Which one it was decided for nobody has kept."""
    moves = [move for move in evidence.moves if move.target == evidence.unit]
    if not moves:
        return []
    last = max(move.at for move in moves)
    sources = [str(move.source) for move in moves if move.at == last]
    of = f"unit{'s' if len(sources) > 1 else ''} {', '.join(sources)}"
    when = ago(evidence.now - last)
    return [
        f"{when} ago unit {evidence.unit} took over the sessions of {of}: this may be one of them."
    ]


def _translation(evidence: Evidence) -> str:
    reply = evidence.session.reply if evidence.session else None
    if evidence.entry:
        reply = evidence.entry.reply
    assert reply  # it is there by somebody's word
    leaves = inverse(reply)
    mark = f", mark 0x{evidence.entry.mark:x}" if evidence.entry else ""
    if leaves == evidence.orig:
        return f"It isn't translated{mark}."
    return f"It leaves as {tuple_text(leaves)}{mark}."


def _told(evidence: Evidence, fate: Fate) -> str:
    primary = " (the primary)" if fate.dies == evidence.members.primary_id else ""
    what = {True: f"it goes on at unit {fate.at}", False: "it is lost", None: "nobody knows"}
    said = f"If unit {fate.dies}{primary} dies, {what[fate.lives]}: {fate.why}."
    entry = evidence.entry
    if fate.lives and entry and entry.helper and fate.dies == evidence.unit:
        said += " (Not if its helper has lengthened or shortened what was sent.)"
    return said


def _silent(evidence: Evidence) -> list[str]:
    silent = [str(m.unit.id) for m in evidence.members if m.unit.id not in evidence.held]
    if not silent:
        return []
    return [f"Not answered: unit{'s' if len(silent) > 1 else ''} {', '.join(silent)}."]
