"""How a new session is given to a unit: the talk's load-balancing methods, and three more.

A method is a function that is given the units to choose from and returns the choice as a function
of the client. It knows nothing of sessions, packets or the cluster; whoever calls it passes on only
units that may be chosen.

    shares   ((unit id, weight), …), by unit id, weights 1 or more, at least one
    live     unit id -> sessions that it serves now; a view that its owner keeps up to date
    client   the client's IPv4 address, 4 bytes as sent
    returns  the unit id

Adding a method: write the function, name it in METHODS.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from operator import add

Shares = tuple[tuple[int, int], ...]
Choice = Callable[[bytes], int]
Method = Callable[[Shares, Mapping[int, int]], Choice]


def smooth_turn(shares: Shares) -> Iterator[int]:
    """One turn of weighted round-robin: each unit as often as its weight says, evenly interleaved.

    Every step, each unit gains its weight, the richest is taken and pays the sum (nginx's "smooth
    weighted round-robin"). After sum-of-weights steps all are even again: the next turn is the
    same; and any window of that length, wherever it starts, has each unit precisely as often as
    its weight.
    """
    units = [unit for unit, _ in shares]
    divisor = math.gcd(*(weight for _, weight in shares))
    weights = [weight // divisor for _, weight in shares]
    total = sum(weights)
    wealth = [0] * len(units)
    for _ in range(total):
        wealth = list(map(add, wealth, weights))
        richest = wealth.index(max(wealth))  # of equals the lowest id
        wealth[richest] -= total
        yield units[richest]


def weighted_round_robin(shares: Shares, live: Mapping[int, int]) -> Choice:
    """Each unit in turn, as often as its weight says; exact.

    The first turn is made step by step: units come and go, a turn can have tens of thousands of
    steps, and whoever calls this has a cluster to mend.
    """
    turn = cycle(smooth_turn(shares))
    return lambda client: next(turn)


def round_robin(shares: Shares, live: Mapping[int, int]) -> Choice:
    """Each unit in turn, weights (but 0) being ignored; exact."""
    return weighted_round_robin(tuple((unit, 1) for unit, _ in shares), live)


def weighted_least_connection(shares: Shares, live: Mapping[int, int]) -> Choice:
    """The unit that would have the fewest live sessions for its weight; of equals the lowest id."""
    return lambda client: min(shares, key=lambda share: (live[share[0]] + 1) / share[1])[0]


def least_connection(shares: Shares, live: Mapping[int, int]) -> Choice:
    """The unit that has the fewest live sessions; of equals the lowest id."""
    units = tuple(unit for unit, _ in shares)
    return lambda client: min(units, key=live.__getitem__)


def source_hash(shares: Shares, live: Mapping[int, int]) -> Choice:
    """One client, one unit: weighted rendezvous hashing, so that a unit that leaves moves its own
    clients only.

    Each unit draws a number from client and unit id alone; the highest score, -weight / ln(draw),
    wins. (Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005.)
    """
    seeds = tuple((unit, weight, bytes((unit,))) for unit, weight in shares)

    def choose(client: bytes) -> int:
        def score(seed: tuple[int, int, bytes]) -> float:
            draw = hashlib.blake2b(client + seed[2], digest_size=6).digest()
            return -seed[1] / math.log((int.from_bytes(draw, "big") + 1) / (2**48 + 1))

        return max(seeds, key=score)[0]

    return choose


METHODS: dict[str, Method] = {
    "round-robin": round_robin,
    "weighted-round-robin": weighted_round_robin,
    "least-connection": least_connection,
    "weighted-least-connection": weighted_least_connection,
    "source-hash": source_hash,
}
# Those of which a choice changes the next.
TAKE_TURNS = frozenset((round_robin, weighted_round_robin))
