"""Reading what the administrator's tools print, and what the captures hold."""

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.bench.short_sessions import parse_wrk
from topologies.observe import Endpoints, describe, ip_bytes, is_syn, parse_entry, payload

LINE = (
    "tcp      6 431999 ESTABLISHED src=10.1.0.10 dst=203.0.113.10 sport=57018 dport=80"
    " src=203.0.113.10 dst=203.0.113.1 sport=80 dport=40000 [ASSURED] mark=7 use=1"
    " labels=unit-2,in-1"
)


def test_an_entry_is_read_whole() -> None:
    entry = parse_entry(LINE)
    assert entry is not None
    assert (entry.state, entry.timeout, entry.mark, entry.unit) == ("ESTABLISHED", 431999, 7, 2)
    assert entry.original == Endpoints("10.1.0.10", 57018, "203.0.113.10", 80)
    assert str(entry.reply.reverse) == "203.0.113.1:40000 > 203.0.113.10:80"
    assert entry.labels == {"unit-2", "in-1"}
    assert entry.assured


def test_an_entry_without_answer_mark_and_labels() -> None:
    line = (
        "tcp 6 119 SYN_SENT src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 [UNREPLIED]"
        " src=2.2.2.2 dst=1.1.1.1 sport=2 dport=1 use=1"
    )
    entry = parse_entry(line)
    assert entry is not None
    assert (entry.mark, entry.unit, entry.labels, entry.assured) == (0, 0, frozenset(), False)


def test_what_is_no_entry_is_none() -> None:
    assert (
        parse_entry("conntrack v1.4.7 (conntrack-tools): 6 flow entries have been shown.") is None
    )


def frame(flags: str, data: bytes = b"", padding: bytes = b"") -> Packet:
    built = Ether() / IP(src="10.1.0.10", dst="10.1.0.1") / TCP(sport=1, dport=2, flags=flags)
    return Ether(bytes(built / Raw(data) if data else built) + padding)


def test_padding_is_no_data() -> None:
    padded = frame("S", b"abc", padding=bytes(10))
    assert payload(padded) == b"abc"
    assert len(ip_bytes(padded)) == 43
    assert describe(padded).endswith("[S] ttl 64, 3 bytes of data")


def test_only_a_syn_without_ack_opens() -> None:
    assert is_syn(frame("S"))
    assert is_syn(frame("SEC"))
    assert not is_syn(frame("SA"))
    assert not is_syn(frame("A"))


def test_wrk_is_read_with_and_without_errors() -> None:
    good = "  305 requests in 2.00s, 70.29KB read\nRequests/sec:    152.29\n"
    assert parse_wrk(good) == (305, 2.0, 0)
    bad = (
        "  9000 requests in 500.00ms, 1MB read\n"
        "  Socket errors: connect 1, read 2, write 3, timeout 4\n"
        "  Non-2xx or 3xx responses: 5\n"
    )
    assert parse_wrk(bad) == (9000, 0.5, 15)
