"""What is fuzzed: by name, a function that takes any bytes, and raises only if something is wrong.

`agent` and `app` play a whole agent and a whole app (`tests.fuzz.agent_scene`, `app_scene`); the
others are decoders, one for each format (`tests.fuzz.decoders`).
"""

from collections.abc import Callable
from pathlib import Path

from tests.fuzz import agent_scene, app_scene, decoders
from tests.fuzz.captured import frames
from tests.fuzz.feed import Bytes
from tests.unit.agent_scene import PICKUP
from tests.unit.core_world import cluster_of

CORPUS = Path(__file__).parent / "corpus"

OF_APP, OF_AGENT = frames(cluster_of()), frames(PICKUP)

Target = Callable[[bytes], None]


def agent(data: bytes) -> None:
    agent_scene.play(Bytes(data), OF_AGENT)


def app(data: bytes) -> None:
    app_scene.play(Bytes(data), OF_APP)


TARGETS: dict[str, Target] = {
    "agent": agent,
    "answer": decoders.answer,
    "api": decoders.request_body,
    "app": app,
    "arp": decoders.arp,
    "config": decoders.config,
    "control": decoders.control_frame,
    "entries": decoders.entries,
    "labels": decoders.label_bits,
    "netlink": decoders.netlink,
    "openflow": decoders.from_switch,
    "seal": decoders.sealed,
    "syn": decoders.syn,
    "syndata": decoders.syn_data,
}


def inputs(name: str) -> list[Path]:
    """The corpus of a target."""
    return sorted((CORPUS / name).iterdir())
