"""What the app tells of its cluster when asked: one JSON object, made from the core alone."""

from typing import Any

from ryu_apps.core.cluster import Member
from ryu_apps.core.controller import Controller
from ryu_apps.core.redundancy import unheard, unheld


def status(controller: Controller) -> dict[str, Any]:
    """The cluster as a JSON object; `primary` is null while there is none."""
    cluster, members = controller.cluster, controller.members
    return {
        "cluster": cluster.name,
        "primary": members.primary_id or None,
        "term": members.term,
        "method": cluster.method,
        "session_table": cluster.session_table,
        "balancing": controller.formation.bridges.diverting,
        "units": [_unit(controller, member) for member in members],
        "counters": dict(sorted(controller.journal.counters.items())),
    }


def _unit(controller: Controller, member: Member) -> dict[str, Any]:
    unit, told = member.unit, member.announce
    return {
        "id": unit.id,
        "role": member.role.value,
        "state": member.state.value,
        "weight": unit.weight,
        "drained": member.drained,
        "settled": unit.id not in controller.formation.takeover.unsettled,
        "sessions": {
            "live": controller.sessions.live[unit.id],
            "served": controller.sessions.served[unit.id],
        },
        "refusal": member.refusal or None,
        "name": told.name if told else None,
        "version": told.version if told else None,
        "serving": told.serving if told else None,
        "hears": list(told.hears) if told else [],
        "unheard": list(unheard(member, controller.members)),
        "unheld": list(unheld(member, controller.members)),
        "synced": list(told.synced) if told and told.synced is not None else None,
        "links_down": list(controller.formation.links_down(member)),
        "agent": dict(sorted(member.counters.items())),
        "drops": dict(sorted(member.drops.items())),
    }
