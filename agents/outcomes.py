"""What can become of a frame, a decision or an entry in the agent's hands: one name each.

The name is the log's word, the counter that the agent announces, and what the tests expect.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """One word for what was done. Those of `agents.wire` are its WireErrors' reasons: all drops."""

    # A SYN that left this unit's kernel: it goes out as it is, unless it is offered to the app.
    OFFERED = "offered"
    RELEASED_ALONE = "released_alone"  # the app is silent
    RELEASED_FULL = "released_full"  # too many offers wait for decisions
    RELEASED_HELPER = "released_helper"  # only this kernel can follow what it announces
    RELEASED_KNOWN = "released_known"  # this unit serves the session already
    RELEASED_LOCAL = "released_local"  # from this unit itself: it came in by no interface
    RELEASED_TOO_LARGE = "released_too_large"  # with SYN data it would exceed the MTU
    RELEASED_UNDECIDED = "released_undecided"  # offered, and not decided in time
    PASSED_ON = "passed_on"  # this unit steps back: another, which is about to be primary, gets it
    RELEASED_UNSELECTED = "released_unselected"  # the user's rules didn't choose it
    RELEASED_UNTRACKED = "released_untracked"  # conntrack has no entry for it

    REOPENING = "reopening"  # it was announced: the unit that served its tuple clears that first
    REOPENED = "reopened"  # and back to the kernel it goes, without the entry that it had
    REOPENED_UNCLEARED = "reopened_uncleared"  # that unit didn't answer
    CLEARED_LATE = "cleared_late"  # an answer that nobody waits for any more

    # A decision of the app's.
    SERVED = "served"  # by this unit
    HANDED_OVER = "handed_over"  # to another
    HANDED_OVER_ALONE = "handed_over_alone"  # a session of another's, while the app is silent
    DECIDED_LATE = "decided_late"  # released before
    DECIDED_UNKNOWN = "decided_unknown"  # no such offer
    DECIDED_STRANGER = "decided_stranger"  # for a unit that isn't configured: released
    ENTRY_REMADE = "entry_remade"  # the entry had gone before the decision came
    ENTRY_LOST = "entry_lost"  # and another had come: dropped
    ENTRY_REFUSED = "entry_refused"  # the kernel changes it not, or not wholly

    # A SYN handed over to this unit.
    INJECTED = "injected"
    RETRANSMITTED = "retransmitted"  # its entry is there
    REPLACED = "replaced"  # another entry stood in its way
    # Without SYN data, but its entry is there; or the primary steps back, and this is its heir.
    PASSED = "passed"
    HELPER_MISSING = "helper_missing"  # injected without
    MASTER_MISSING = "master_missing"  # injected without
    SYN_WITHOUT_DATA = "syn_without_data"
    OTHER_UNIT = "other_unit"  # its SYN data name another
    OTHER_INTERFACE = "other_interface"  # its SYN data name another
    NOT_AUXILIARY = "not_auxiliary"
    CREATE_REFUSED = "create_refused"  # the kernel makes no such entry
    CLEARED = "cleared"  # its entry is gone: another session is to have its tuple

    # A packet of a session with a helper that left an auxiliary's kernel.
    HELPER_PASSED = "helper_passed"  # it announces nothing
    HELPER_HELD = "helper_held"  # it announces a connection, or is behind one that does
    HELPER_UNREAD = "helper_unread"  # passed, unread: a fragment
    HELPER_DOUBTED = "helper_doubted"  # dropped: events were lost, it may announce something
    HELPER_FULL = "helper_full"  # dropped: too many are held

    # What such a packet announced, at the auxiliary; then at the primary.
    ANNOUNCED = "announced"  # the primary expects it: the packet goes
    ANNOUNCED_TAKEN = "announced_taken"  # another session announced it: to be announced otherwise
    ANNOUNCED_REFUSED = "announced_refused"  # the primary can't expect it: the packet goes
    ANNOUNCED_UNHEARD = "announced_unheard"  # the primary doesn't answer: the packet goes
    ANNOUNCED_LATE = "announced_late"  # an answer that nobody waits for any more
    ANNOUNCED_ANEW = "announced_anew"  # to a unit that has become primary
    ANNOUNCED_OVER = "announced_over"  # not to that: it has come, or timed out
    EXPECTED = "expected"
    EXPECT_TAKEN = "expect_taken"  # another session announced it
    EXPECT_NO_MASTER = "expect_no_master"  # no such session of that unit's
    EXPECT_REFUSED = "expect_refused"  # the kernel makes no such expectation
    EXPECT_NOT_PRIMARY = "expect_not_primary"
    EXPECTED_AGAIN = "expected_again"  # session pickup had put another entry in the session's place
    EXPECT_WAITS = "expect_waits"  # the session has no entry, yet: to be asked, or tried, again
    WITHDRAWN = "withdrawn"  # expected no more
    WITHDRAW_UNKNOWN = "withdraw_unknown"  # not expected any more

    # A session of another unit that this one takes over.
    ADOPTED = "adopted"
    ADOPT_REFUSED = "adopt_refused"  # its entry has gone, or the kernel changes it not
    # It began while this unit served alone, or another unit's stale word came: its own, as written.
    LABELLED = "labelled"
    LABEL_REFUSED = "label_refused"

    # A session that another unit took over from this one.
    FORFEITED = "forfeited"
    FORFEIT_GONE = "forfeit_gone"  # its entry has gone
    FORFEIT_REFUSED = "forfeit_refused"  # the kernel changes it not

    # What other units hold of this unit's sessions.
    RENEWED = "renewed"  # told to them again
    RENEW_GONE = "renew_gone"  # its entry has gone, or it is over
    CANARY = "canary"  # changed, or looked at
    CANARY_REFUSED = "canary_refused"

    # The end of a session.
    ENDED = "ended"
    ENDED_REUSED = "ended_reused"  # its successor is there already
    ENDED_MOVED = "ended_moved"  # here; the primary serves it by now
    FORGOTTEN = "forgotten"
    FORGET_UNKNOWN = "forget_unknown"  # gone already, by session pickup
    FORGET_REFUSED = "forget_refused"  # this unit serves it, or it is a successor
    EVENTS_LOST = "events_lost"

    # Another primary is heard.
    RIVAL_HEARD = "rival_heard"
    FENCED = "fenced"  # the app is away: this unit is the old one, and takes its NICs down
    FENCE_LIFTED = "fence_lifted"  # the app is heard again: they are up again

    RESTORED = "restored"  # its entry was removed as that of the session before it: made again
    RESTORE_REFUSED = "restore_refused"

    # Sessions that begin, as the primary tells.
    BEGUN = "begun"
    BEGUN_ELSEWHERE = "begun_elsewhere"  # with the tuple of one that this unit has served
    BEGUN_MADE = "begun_made"  # this unit is primary now, and its kernel knows the session
    BEGUN_HELD = "begun_held"  # it did already, or makes no such entry

    # A question of the app's about one session.
    ANSWERED = "answered"
    TRACING = "tracing"  # commands run: answered when they have
    QUESTION_REFUSED = "question_refused"  # too many at once: not answered

    # Routed ARP: what this unit's kernel asks, as an auxiliary,
    ARP_ASKED = "arp_asked"  # and the primary's agent is asked
    ARP_NOBODY = "arp_nobody"  # while there is nobody to ask
    ARP_FULL = "arp_full"  # too many questions wait
    ARP_TOLD = "arp_told"  # the answer: the kernel has it
    ARP_UNASKED = "arp_unasked"  # an answer that nobody waits for
    # and as the primary.
    ARP_ROUTED = "arp_routed"  # another unit asks: the app is asked
    ARP_ANSWERED = "arp_answered"  # the app answers: that unit is told
    ARP_STRANGER = "arp_stranger"  # from, or for, nobody who may

    # What conntrackd says, to be carried to other units.
    PICKUP_SAID = "pickup_said"  # by this unit's
    PICKUP_HEARD = "pickup_heard"  # by another's: this unit's is told

    # Other frames.
    KEEPALIVE = "keepalive"
    STATE = "state"
    CENSUS = "census"
    NOT_ADDRESSED = "not_addressed"  # neither from this unit's kernel nor handed over to it
    CONTROL_STRANGER = "control_stranger"  # of another group or unit, or by another way
    WRITE_FAILED = "write_failed"

    # agents.wire.packet
    NOT_IPV4 = "not_ipv4"
    TRUNCATED = "truncated"
    BAD_LENGTH = "bad_length"
    FRAGMENT = "fragment"
    NOT_TCP = "not_tcp"
    NOT_SYN = "not_syn"
    # agents.wire.syndata
    SYNDATA_ABSENT = "syndata_absent"
    SYNDATA_VERSION = "syndata_version"
    SYNDATA_LENGTH = "syndata_length"
    SYNDATA_TRUNCATED = "syndata_truncated"
    SYNDATA_VALUE = "syndata_value"
    # agents.wire.seal
    SEAL_TRUNCATED = "seal_truncated"  # there is none
    SEAL_KEY = "seal_key"  # of a key that this unit hasn't
    SEAL_TAG = "seal_tag"  # forged, or something is another than it was
    SEAL_UNIT = "seal_unit"  # another unit's
    SEAL_EPOCH = "seal_epoch"  # of an agent that isn't that unit's present one, as far as is known
    SEAL_REPLAYED = "seal_replayed"  # it has come before
    SEAL_OLD = "seal_old"  # too late to say whether it has
    # agents.wire.pickup
    PICKUP_VALUE = "pickup_value"
    PICKUP_LONG = "pickup_long"
    # agents.wire.routed_arp
    NOT_ARP = "not_arp"
    ARP_TRUNCATED = "arp_truncated"
    ARP_FORMAT = "arp_format"
    # agents.wire.control
    NOT_CONTROL = "not_control"
    CONTROL_TRUNCATED = "control_truncated"
    CONTROL_VERSION = "control_version"
    CONTROL_KIND = "control_kind"
    CONTROL_VALUE = "control_value"
    CONTROL_BODY = "control_body"
    CONTROL_FIELD = "control_field"


# What is worth a line in the log whenever it grows: frames dropped, entries gone astray.
TROUBLE = frozenset(Outcome) - {
    Outcome.OFFERED,
    Outcome.RELEASED_ALONE,
    Outcome.RELEASED_HELPER,
    Outcome.RELEASED_KNOWN,
    Outcome.RELEASED_LOCAL,
    Outcome.RELEASED_TOO_LARGE,
    Outcome.RELEASED_UNSELECTED,
    Outcome.REOPENING,
    Outcome.REOPENED,
    Outcome.CLEARED,
    Outcome.SERVED,
    Outcome.HANDED_OVER,
    Outcome.HANDED_OVER_ALONE,
    Outcome.INJECTED,
    Outcome.RETRANSMITTED,
    Outcome.REPLACED,
    Outcome.PASSED,
    Outcome.PASSED_ON,
    Outcome.HELPER_PASSED,
    Outcome.HELPER_HELD,
    Outcome.ANNOUNCED,
    Outcome.ANNOUNCED_TAKEN,
    Outcome.ANNOUNCED_ANEW,
    Outcome.ANNOUNCED_OVER,
    Outcome.EXPECTED,
    Outcome.EXPECT_TAKEN,
    Outcome.EXPECTED_AGAIN,
    Outcome.EXPECT_WAITS,
    Outcome.WITHDRAWN,
    Outcome.WITHDRAW_UNKNOWN,
    Outcome.ADOPTED,
    Outcome.LABELLED,
    Outcome.FORFEITED,
    Outcome.FORFEIT_GONE,
    Outcome.RENEWED,
    Outcome.RENEW_GONE,
    Outcome.CANARY,
    Outcome.ARP_ASKED,
    Outcome.ARP_NOBODY,
    Outcome.ARP_TOLD,
    Outcome.ARP_ROUTED,
    Outcome.ARP_ANSWERED,
    Outcome.PICKUP_SAID,
    Outcome.PICKUP_HEARD,
    Outcome.KEEPALIVE,
    Outcome.BEGUN,
    Outcome.BEGUN_ELSEWHERE,
    Outcome.BEGUN_MADE,
    Outcome.BEGUN_HELD,
    Outcome.ENDED,
    Outcome.ENDED_REUSED,
    Outcome.ENDED_MOVED,
    Outcome.FORGOTTEN,
    Outcome.FORGET_UNKNOWN,
    Outcome.ANSWERED,
    Outcome.TRACING,
    Outcome.STATE,
    Outcome.CENSUS,
}
