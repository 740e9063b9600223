"""A unit's NICs while it is fenced: none that carries data is up, whoever sets it up.

When that is so is `agents.core_fencing`'s to say.
"""

import contextlib
from collections.abc import Iterable

from agents.links import Links
from agents.log import tell
from agents.running import FENCE

_AGAIN = 1.0  # seconds until what was refused is tried again


class Fence:
    """Takes them down, and up again."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._fenced = False
        self._refused: dict[str, str] = {}
        self._due = 0.0

    def hold(self, fenced: bool, now: float) -> None:
        """Has the NICs be as they should; to be called again and again."""
        changed = fenced != self._fenced
        wrong = self._refused or (fenced and self._links.any())
        if not changed and not (wrong and now >= self._due):
            return
        # Those that came up may have been taken down since, by an administrator.
        nics = self._links.nics if changed or fenced else tuple(self._refused)
        if fenced:
            _note(nics)
        refused = self._links.set(nics, up=not fenced)
        if not fenced:
            FENCE.unlink(missing_ok=True)
        if refused and (changed or refused != self._refused):
            # `fenced` and `fence_lifted` are outcomes, which the agent tells.
            why = ", ".join(f"{nic}: {word}" for nic, word in refused.items())
            tell("links_refused", fenced=fenced, why=why)
        self._fenced, self._refused = fenced, refused
        self._due = now + _AGAIN if refused else now


def _note(nics: Iterable[str]) -> None:
    """For the agent after this one, and for `synod unit down`."""
    with contextlib.suppress(OSError):  # no room: falling silent matters more
        FENCE.parent.mkdir(parents=True, exist_ok=True)
        FENCE.write_text("".join(f"{nic}\n" for nic in nics))
