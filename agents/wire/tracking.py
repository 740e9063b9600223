"""Numbers by which the kernel's connection tracking tells of an entry, in netlink and in answers to
questions about sessions (`agents.wire.inquiry`) alike.

From include/uapi/linux/netfilter/nf_conntrack_tcp.h (enum tcp_conntrack) and
nf_conntrack_common.h (enum ip_conntrack_status).
"""

# The state of a TCP connection: its number is the place in this list.
STATES = (
    *("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK"),
    *("TIME_WAIT", "CLOSE", "SYN_SENT2"),
)
SYN_SENT, SYN_RECV, ESTABLISHED, TIME_WAIT, CLOSE = map(
    STATES.index, ("SYN_SENT", "SYN_RECV", "ESTABLISHED", "TIME_WAIT", "CLOSE")
)
# Closed by both sides or reset: its entry is kept until its ports may be used anew.
OVER = (TIME_WAIT, CLOSE)

# Bits of an entry's status.
EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED = 1, 2, 4, 8
