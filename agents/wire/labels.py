"""Conntrack labels: which unit serves a connection, which interface it came in by, whether it is to
be balanced, whether another unit than the primary reads what it announces, whether it is one to be
replicated.

A conntrack entry has 128 label bits. They hold what the talk keeps in a `__u8 cnodeid` of its own
in struct nfct: a label needs no kernel patch, is listed by `conntrack -L --label unit-6`, and
leaves the mark to the user.

    bit   127  85  84  83  82  81  80           65  64            1  0
          +------+---+---+---+---+---------------+---------------+--+
          |      | c | l | h | b | in-16 .. in-1 | unit-64 .. -1 |  |
          +------+---+---+---+---+---------------+---------------+--+
    the user's     |   |   |   '- balance                          '- the user's
         closing --'  live '- helper

On the wire (CTA_LABELS) they are 16 bytes, the kernel's bitmap of unsigned longs as it lies in
memory: on a little-endian machine bit n is bit n%8 of byte n//8. Synod runs on such machines only.

Every SYN asks, and few different labels are about: what was asked lately is remembered.
"""

from collections.abc import Iterable
from functools import lru_cache

from agents.wire.ports import MAX_INTERFACES, MAX_UNITS

SIZE = 16

UNIT_BIT = 0  # unit-N is bit UNIT_BIT + N
INTERFACE_BIT = 64  # in-I is bit INTERFACE_BIT + I
BALANCE_BIT = 81
HELPER_BIT = 82
LIVE_BIT = 83
CLOSING_BIT = 84

_UNITS = sum(1 << (UNIT_BIT + unit) for unit in range(1, MAX_UNITS + 1))
_INTERFACES = sum(1 << (INTERFACE_BIT + index) for index in range(1, MAX_INTERFACES + 1))

_NAMES = {
    **{UNIT_BIT + unit: f"unit-{unit}" for unit in range(1, MAX_UNITS + 1)},
    **{INTERFACE_BIT + index: f"in-{index}" for index in range(1, MAX_INTERFACES + 1)},
    BALANCE_BIT: "balance",
    HELPER_BIT: "helper",
    LIVE_BIT: "live",
    CLOSING_BIT: "closing",
}

# What is said anew when a unit is written: the packet that then sets `live` tells everyone of it.
_ANEW = 1 << HELPER_BIT | 1 << LIVE_BIT | 1 << CLOSING_BIT
_remembered = lru_cache(maxsize=4096)

UNIT_MASK = (_UNITS | _ANEW).to_bytes(SIZE, "little")


@_remembered
def unit_of(labels: bytes) -> int:
    """Unit id (1…64) that serves the connection, 0 if none is written there (the lowest, should
    there be several).
    """
    return _lowest(int.from_bytes(labels, "little") & _UNITS) - UNIT_BIT


@_remembered
def interface_of(labels: bytes) -> int:
    """Index (1…16) of the interface that the connection came in by, 0 if it has no such label."""
    bits = int.from_bytes(labels, "little") & _INTERFACES
    return _lowest(bits) - INTERFACE_BIT if bits else 0


@_remembered
def balanced(labels: bytes) -> bool:
    """Whether the user's rules labelled this connection as one to balance."""
    return bool(int.from_bytes(labels, "little") >> BALANCE_BIT & 1)


def names_of(labels: bytes) -> tuple[str, ...]:
    """The names of all labels that are set, as `conntrack -L -o labels` has them; `bit-N` of one
    that is not ours.
    """
    bits = int.from_bytes(labels, "little")
    return tuple(_NAMES.get(bit, f"bit-{bit}") for bit in range(8 * SIZE) if bits >> bit & 1)


@_remembered
def with_unit(unit: int, helper: bool = False) -> tuple[bytes, bytes]:
    """CTA_LABELS and CTA_LABELS_MASK (16 bytes each) that make `unit` (1…64) the only unit label of
    an entry, and the label `helper` what it is to be; `live` and `closing` go, as they were those
    of a session before this one or of the unit before.

    The kernel clears the bits of the mask, then flips those of the labels
    (nf_connlabels_replace()); all others stay.
    """
    if not 1 <= unit <= MAX_UNITS:
        raise ValueError(f"unit {unit} is not in 1 to {MAX_UNITS}")
    bits = 1 << (UNIT_BIT + unit) | helper << HELPER_BIT
    return bits.to_bytes(SIZE, "little"), UNIT_MASK


@_remembered
def relabelled(before: bytes, labels: bytes, mask: bytes) -> bytes:
    """Labels as the kernel will have them when it was given `labels` and `mask`."""
    kept = int.from_bytes(before, "little") & ~int.from_bytes(mask, "little")
    return (kept | int.from_bytes(labels, "little")).to_bytes(SIZE, "little")


def connlabel_conf(interface_names: Iterable[str]) -> str:
    """Text of connlabel.conf, by which `nft` (from /etc) and `conntrack` (from /etc/xtables) know
    the labels by name.
    """
    lines = ["# Synod's conntrack labels: bit, name. Bits 0 and 85 to 127 are free for your own."]
    lines += [f"{UNIT_BIT + unit} unit-{unit}" for unit in range(1, MAX_UNITS + 1)]
    lines += [f"# in-{index}: came in by {name}" for index, name in enumerate(interface_names, 1)]
    lines += [f"{INTERFACE_BIT + index} in-{index}" for index in range(1, MAX_INTERFACES + 1)]
    lines += [
        f"{BALANCE_BIT} balance",
        f"{HELPER_BIT} helper",
        f"{LIVE_BIT} live",
        f"{CLOSING_BIT} closing",
        "",
    ]
    return "\n".join(lines)


def _lowest(bits: int) -> int:
    """Number of the lowest bit set; 0 if none is."""
    return (bits & -bits).bit_length() - 1 if bits else 0
