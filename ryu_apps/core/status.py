"""What the app tells of its cluster when asked: JSON objects, made from the core alone.

Times are seconds since the epoch, `null` for what has not happened.
"""

import math
from typing import Any

import agents
from agents.config import Interface
from agents.wire.ports import mac_text
from ryu_apps.core.cluster import Member
from ryu_apps.core.controller import Controller
from ryu_apps.core.moments import Moment
from ryu_apps.core.redundancy import unheard, unheld


def status(controller: Controller, moment: Moment) -> dict[str, Any]:
    """The cluster as it is at that moment; `primary` is null while there was none."""
    cluster, members = controller.cluster, controller.members
    return {
        "time": round(moment.epoch, 3),
        "app": {
            "version": agents.__version__,
            "boot": controller.boot,
            "since": moment.date(controller.began),
        },
        "cluster": cluster.name,
        "primary": members.primary_id or None,
        "primary_present": members.primary_present,
        "term": members.term,
        "method": controller.formation.method,
        "session_table": cluster.session_table,
        "balancing": controller.formation.bridges.diverting,
        "overloaded": list(controller.overload.why),
        "interfaces": [_interface(interface) for interface in cluster.interfaces],
        "units": [_unit(controller, member, moment) for member in members],
        "counters": dict(sorted(controller.journal.counters.items())),
    }


def happenings(controller: Controller, moment: Moment, after: int) -> dict[str, Any]:
    """The events of the cluster of a higher number than `after`; `next` is what to ask after then.

    `boot` is another after each start of the app, which numbers anew.
    """
    chronicle = controller.journal.chronicle
    return {
        "boot": controller.boot,
        "events": [
            {
                "number": each.number,
                "time": moment.date(each.at),
                "event": each.event,
                "warning": each.warning,
                "fields": dict(each.fields),
            }
            for each in chronicle.after(after)
        ],
        "next": chronicle.last,
    }


def history(controller: Controller, moment: Moment) -> dict[str, Any]:
    """New sessions of each unit in each second up to `end`, oldest first."""
    told = controller.history
    return {
        "step": 1,
        "end": moment.date(told.end(moment.now)),
        "units": {
            str(member.unit.id): told.seconds(member.unit.id) for member in controller.members
        },
    }


def _interface(interface: Interface) -> dict[str, Any]:
    return {
        "name": interface.name,
        "virtual_mac": mac_text(interface.virtual_mac),
        "addresses": [str(address) for address in interface.addresses],
    }


def _unit(controller: Controller, member: Member, moment: Moment) -> dict[str, Any]:
    unit, told, grown = member.unit, member.announce, controller.history
    left = controller.orders.left(unit.id, moment.now)
    known, heard = math.isfinite(member.since), math.isfinite(member.heard)
    return {
        "id": unit.id,
        "role": member.role.value,
        "state": member.state.value,
        "since": moment.date(member.since) if known else None,
        "heard": round(max(0.0, moment.now - member.heard), 3) if heard else None,
        "weight": member.weight,
        "drained": member.drained,
        "deadline": None if left is None else round(left, 1),
        "settled": unit.id not in controller.formation.takeover.unsettled,
        "sessions": {
            "live": controller.sessions.live[unit.id],
            "served": controller.sessions.served[unit.id],
            "per_second": grown.per_second(unit.id),
        },
        "share": grown.share(unit.id),
        "refusal": member.refusal or None,
        "name": told.name if told else None,
        "version": told.version if told else None,
        "serving": told.serving if told else None,
        "waiting": told.waiting if told else None,
        "hears": list(told.hears) if told else [],
        "unheard": list(unheard(member, controller.members)),
        "unheld": list(unheld(member, controller.members)),
        "synced": list(told.synced) if told and told.synced is not None else None,
        "links_down": list(controller.formation.links_down(member)),
        "agent": dict(sorted(member.counters.items())),
        "drops": dict(sorted(member.drops.items())),
    }
