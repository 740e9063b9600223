"""Seals: what tells a frame of the cluster's own from one that somebody else has made, or has heard
and sends again.

A seal stands behind what it covers. Who has the cluster's key can make one, and nobody else; and
each is good once. Numbers are big-endian.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |   key hint    |     unit      |               0               |
    +---------------+---------------+-------------------------------+
    |                        epoch (8 bytes)                        |
    |                                                               |
    +---------------------------------------------------------------+
    |                       counter (8 bytes)                       |
    |                                                               |
    +---------------------------------------------------------------+
    |                                                               |
    |                         tag (16 bytes)                        |
    |                                                               |
    |                                                               |
    +---------------------------------------------------------------+

`unit` has made it. `epoch` is random and new with each start of its agent, `counter` one more with
each seal of that epoch and purpose, from 1 on. The tag is BLAKE2s (RFC 7693), keyed, over all that
is covered and the 20 bytes before it; the cluster's group is the hash's salt and the purpose its
personalisation, so that no seal is good for another cluster or purpose. The hint says which of two
keys it is.

A receiver believes one epoch of a unit. No frame can tell by itself when it was made, so which
epoch that is somebody else has to say (`Opener.name`), or the unit answers what it was just asked
(`Opener.learn`). Clocks have no part in it.

An agent that is started anew doesn't know what has come before. So what is for one agent alone is
sealed with that agent's epoch, too, which isn't sent (`epoch_bytes`).
"""

import struct
from collections.abc import Iterable, Mapping
from hashlib import blake2s
from hmac import compare_digest
from typing import Any, NamedTuple

from agents.wire.errors import WireError

KEY_SIZE = 32  # bytes
MOST_KEYS = 2
TAG_SIZE = 16
WINDOW = 1024  # counters below the highest that may still come

# Eight bytes each: what a seal is for.
SYN, PEER, ARP = b"synodSYN", b"synodHA\0", b"synodARP"
_PURPOSES = (SYN, PEER, ARP)
_HINT = b"synodKEY"

_HEAD = struct.Struct("!BBxxQQ")
_WHOLE = struct.Struct(f"{_HEAD.format}{TAG_SIZE}s")
_TAG_AT = _HEAD.size
SIZE = _WHOLE.size


class Seal(NamedTuple):
    """What a seal says once its tag was found to be right."""

    unit: int
    epoch: int
    counter: int


class Keys:
    """The keys of a cluster, by its group: the first seals, all are accepted. ValueError if there
    are none, more than two, or one isn't 32 bytes.
    """

    def __init__(self, keys: Iterable[bytes], group: int) -> None:
        listed = tuple(keys)
        if not 1 <= len(listed) <= MOST_KEYS or any(len(key) != KEY_SIZE for key in listed):
            raise ValueError(f"not one or two keys of {KEY_SIZE} bytes")
        self.fingerprints = tuple(map(fingerprint, listed))
        salt = group.to_bytes(8)
        made = [
            {
                purpose: blake2s(key=key, digest_size=TAG_SIZE, salt=salt, person=purpose)
                for purpose in _PURPOSES
            }
            for key in listed
        ]
        self._hint, self._sealing = self.fingerprints[0] >> 24, made[0]
        # Two keys may have the same.
        self._by_hint: dict[int, list[dict[bytes, Any]]] = {}
        for name, hashes in zip(self.fingerprints, made, strict=True):
            self._by_hint.setdefault(name >> 24, []).append(hashes)

    def seal(self, purpose: bytes, seal: Seal, covered: bytes) -> bytes:
        """The bytes to put behind what is covered."""
        head = _HEAD.pack(self._hint, *seal)
        tag = self._sealing[purpose].copy()
        tag.update(covered + head)
        return head + tag.digest()

    def verified(self, purpose: bytes, seal: bytes, covered: bytes) -> Seal:
        """What the seal says, if one of the keys has made it of what is covered. WireError
        seal_truncated, seal_key (no key of this hint), seal_tag (something is another than it was).
        """
        if len(seal) != SIZE:
            raise WireError("seal_truncated", f"{len(seal)} bytes")
        hint, unit, epoch, counter, tag = _WHOLE.unpack(seal)
        known = self._by_hint.get(hint)
        if known is None:
            raise WireError("seal_key")
        whole = covered + seal[:_TAG_AT]
        for hashes in known:
            right = hashes[purpose].copy()
            right.update(whole)
            if compare_digest(right.digest(), tag):
                return Seal(unit, epoch, counter)
        raise WireError("seal_tag")


def epoch_bytes(epoch: int) -> bytes:
    """What a seal for one agent alone covers last: that agent's own epoch. So an agent that was
    started anew, and knows no more what has come, isn't told again what the one before it was.
    """
    return epoch.to_bytes(8)


def fingerprint(key: bytes) -> int:
    """A number (u32) by which a key can be spoken of; its highest byte is the hint in seals."""
    return int.from_bytes(blake2s(key=key, digest_size=4, person=_HINT).digest())


class Window(NamedTuple):
    """Which counters have come: `highest`, and of those below it the ones whose bit is set in
    `seen` (bit n: highest - n).
    """

    highest: int = 0
    seen: int = 0

    def with_(self, counter: int) -> "Window":
        """The window once that one has come. WireError seal_replayed if it has before, seal_old if
        nobody knows any more.
        """
        ahead = counter - self.highest
        if ahead > 0:
            kept = self.seen << ahead & _FULL if ahead < WINDOW else 0
            return Window(counter, kept | 1)
        if ahead <= -WINDOW or counter < 1:
            raise WireError("seal_old", f"{counter} of {self.highest}")
        bit = 1 << -ahead
        if self.seen & bit:
            raise WireError("seal_replayed", str(counter))
        return Window(self.highest, self.seen | bit)


_FULL = (1 << WINDOW) - 1


class Sealer:
    """Makes the seals of one unit in one epoch (u64). `keys` may be others at any time."""

    def __init__(self, keys: Keys, unit: int, epoch: int) -> None:
        self.keys = keys
        self._unit = unit
        self._epoch = epoch
        self._counters = dict.fromkeys(_PURPOSES, 0)

    def seal(self, purpose: bytes, covered: bytes) -> bytes:
        """The next one."""
        counter = self._counters[purpose] = self._counters[purpose] + 1
        return self.keys.seal(purpose, Seal(self._unit, self._epoch, counter), covered)


class Opener:
    """Says whether to believe a seal. `keys` may be others at any time."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._named: dict[int, int] = {}  # by unit: what somebody who should know has said last
        self._epochs: dict[int, int] = {}  # by unit: what is believed
        self._windows: dict[tuple[int, bytes], Window] = {}
        self.foreign: dict[int, int] = {}  # by unit: an epoch that it had, and that isn't believed

    def name(self, epochs: Mapping[int, int]) -> None:
        """These are the units' present epochs. What was said before of others stays, and so does
        what was learned since of one of which the same is said again.
        """
        for unit, epoch in epochs.items():
            if self._named.get(unit) != epoch:
                self._named[unit] = epoch
                self.learn(unit, epoch)

    def learn(self, unit: int, epoch: int) -> None:
        """The unit itself has shown that this is its present epoch."""
        if self._epochs.get(unit) != epoch:
            self._epochs[unit] = epoch
            self.foreign.pop(unit, None)
            self._windows.update({(unit, purpose): Window() for purpose in _PURPOSES})

    def present(self, unit: int) -> bytes:
        """The believed epoch of that unit, which what is for its agent alone ends with; 0: none."""
        return epoch_bytes(self._epochs.get(unit, 0))

    def open(self, purpose: bytes, unit: int, seal: bytes, covered: bytes) -> None:
        """Returns if the seal is that unit's, of its present epoch, and hasn't come before.
        WireError as `Keys.verified` and `Window.with_`, seal_unit (another's), seal_epoch (of
        another epoch).
        """
        found = self.keys.verified(purpose, seal, covered)
        if found.unit != unit:
            raise WireError("seal_unit", f"{found.unit}, not {unit}")
        if self._epochs.get(unit) != found.epoch:
            self.foreign[unit] = found.epoch
            raise WireError("seal_epoch", f"unit {unit}: {found.epoch:016x}")
        key = unit, purpose
        self._windows[key] = self._windows[key].with_(found.counter)
