"""SYN data: the primary's decisions about a session, appended to the SYN that it hands to an
auxiliary.

The talk: "all the decisions taken while processing like NATing and conntrack mark are appended as
data in SYN packet" (slide "Packet Flow"). They stand at the very end of the TCP payload and are
found from there, so that data of the client's own in the SYN (TCP Fast Open, RFC 7413) stays where
it is, in front. Numbers are big-endian.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+---------------+---------------+
    |     unit      |    primary    |   interface   |       0       |
    +---------------+---------------+---------------+---------------+
    |                        conntrack mark                         |
    +---------------------------------------------------------------+
    |                 conntrack labels (16 bytes)                   |
    +---------------------------------------------------------------+
    |            reply tuple (12): src, dst, sport, dport           |
    +---------------+---------------+-------------------------------+
    |  option type  | option length |  option value ...             |   any number, types ascending
    +---------------+---------------+---------------+---------------+
    |    length of all of this      |   version 2   |       0       |   trailer
    +-------------------------------+---------------+---------------+
    |    "S"             "Y"             "N"             "D"        |
    +---------------------------------------------------------------+
    |              seal (36 bytes), of `agents.wire.seal`           |
    +---------------------------------------------------------------+

    option 1   name of the conntrack helper, 1 to 15 bytes of ASCII (NF_CT_HELPER_NAME_LEN)
    option 2   orig tuple (12) of the master connection of an expected one (FTP data)

The seal covers the IP packet as the client sent it (without these bytes, that is) and all from
`unit` to "SYND": the data are good for this SYN alone, and once.

There is one encoding of each value. What isn't understood is refused, not skipped: a decision
applied by halves is the split brain that the data are there to prevent.
"""

import struct
from typing import NamedTuple

from agents.wire import seal
from agents.wire.errors import WireError
from agents.wire.ports import MAX_INTERFACES, MAX_UNITS

VERSION = 2
MAGIC = b"SYND"

_BODY = struct.Struct("!BBBBI16s12s")
_TRAILER = struct.Struct("!HBB4s")
_PLAIN = struct.Struct(_BODY.format + _TRAILER.format[1:])  # without options
_HELPER, _MASTER = 1, 2
HELPER_NAME = 15  # bytes at most

_FOOT = _TRAILER.size + seal.SIZE

MIN_SIZE = _BODY.size + _FOOT
MAX_SIZE = MIN_SIZE + 2 + HELPER_NAME + 2 + 12


class SynData(NamedTuple):
    """What the primary decided on one session.

    `unit` (1…64) is to serve it, `primary` (1…64) says so, `interface` (1…16) is the one the SYN
    came in by. `mark` is the conntrack mark (u32), `labels` the conntrack labels (16 bytes),
    `reply` the reply tuple (tuple12), which holds all of the NAT. `helper` names the conntrack
    helper; `master` is the orig tuple12 of the connection that expected this one. Both are empty if
    there is none.
    """

    unit: int
    primary: int
    interface: int
    mark: int
    labels: bytes
    reply: bytes
    helper: str = ""
    master: bytes = b""


def encode(data: SynData) -> bytes:
    """The bytes to append, but for the seal: with that they are `MIN_SIZE` to `MAX_SIZE`. WireError
    syndata_value if a field is out of its range.
    """
    unit, primary, interface, mark, labels, reply, helper, master = data
    _check(data)
    if not 0 <= mark <= 0xFFFFFFFF or len(labels) != 16 or len(reply) != 12:
        raise WireError("syndata_value", "mark, labels or reply tuple")
    if not helper and not master:
        trailer = MIN_SIZE, VERSION, 0, MAGIC
        return _PLAIN.pack(unit, primary, interface, 0, mark, labels, reply, *trailer)
    body = _BODY.pack(unit, primary, interface, 0, mark, labels, reply)
    if helper:
        name = helper.encode("ascii", "replace")
        body += bytes((_HELPER, len(name))) + name
    if master:
        body += bytes((_MASTER, len(master))) + master
    return body + _TRAILER.pack(len(body) + _FOOT, VERSION, 0, MAGIC)


def decode(payload: bytes) -> tuple[SynData, int]:
    """SYN data at the end of a TCP payload, and how many bytes to cut off there, the seal among
    them. Whether that is right is asked elsewhere.

    WireError syndata_absent (no magic: no SYN data), syndata_version, syndata_length (shorter than
    the fixed part), syndata_truncated (longer than the payload, or an option that runs over),
    syndata_value (a field out of its range, an option unknown, out of order or of the wrong size).
    """
    if len(payload) < _FOOT or payload[-seal.SIZE - 4 : -seal.SIZE] != MAGIC:
        raise WireError("syndata_absent")
    length, version, reserved, _ = _TRAILER.unpack_from(payload, len(payload) - _FOOT)
    if version != VERSION:
        raise WireError("syndata_version", str(version))
    if length < MIN_SIZE:
        raise WireError("syndata_length", str(length))
    start = len(payload) - length
    if start < 0:
        raise WireError("syndata_truncated", f"{length} of {len(payload)} bytes")
    unit, primary, interface, zero, mark, labels, reply = _BODY.unpack_from(payload, start)
    if reserved or zero:
        raise WireError("syndata_value", "reserved bytes")
    helper, master = (
        _options(payload[start + _BODY.size : -_FOOT]) if length > MIN_SIZE else ("", b"")
    )
    data = SynData(unit, primary, interface, mark, labels, reply, helper, master)
    _check(data)
    return data, length


def _options(run: bytes) -> tuple[str, bytes]:
    """Helper name and master tuple of a run of options; types ascend, so none comes twice."""
    values = {_HELPER: b"", _MASTER: b""}
    last = 0
    while run:
        kind, value = run[0], run[2 : 2 + int.from_bytes(run[1:2])]
        if len(run) < 2 or len(value) < run[1]:
            raise WireError("syndata_truncated", f"option {kind}")
        if kind not in values or kind <= last or not value:
            raise WireError("syndata_value", f"option {kind}")
        values[kind] = value
        last = kind
        run = run[2 + len(value) :]
    return values[_HELPER].decode("ascii", "replace"), values[_MASTER]


def _check(data: SynData) -> None:
    unit, primary, interface, _, _, _, helper, master = data
    if not (1 <= unit <= MAX_UNITS and 1 <= primary <= MAX_UNITS):
        raise WireError("syndata_value", f"unit {unit}, primary {primary}")
    if not 1 <= interface <= MAX_INTERFACES:
        raise WireError("syndata_value", f"interface {interface}")
    if helper and not (helper.isascii() and helper.isprintable() and len(helper) <= HELPER_NAME):
        raise WireError("syndata_value", f"helper {helper!r}")
    if len(master) not in (0, 12):
        raise WireError("syndata_value", f"master of {len(master)} bytes")
