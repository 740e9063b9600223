"""What `script/bench expectations` says of its figures, and what they must be."""

from tests.bench import expectations
from tests.bench.benchmark import Benchmark, Figures, Rows


def _rows(figures: Figures) -> Rows:
    ways = {
        "told": "told",
        "conntrackd": "by conntrackd",
        "mirrored": "mirrored",
        "diverted": "told first",
        "held": "held",
    }
    rows: Rows = [("us: p1/median/p99", "transfers", "refused", "expected", "SYN", "held")]
    for name, text in ways.items():
        for kind, found in figures[name].items():
            counts = [f"{found[each]:,}" for each in ("transfers", "refused")]
            times = [_microseconds(found, each) for each in ("expected_us", "syn_us", "held_us")]
            rows.append((f"{text}, {kind}", *counts, *times))
    return rows


def _microseconds(figures: Figures, name: str) -> str:
    found = figures.get(name)
    return "/".join(f"{found[each]:.0f}" for each in ("p1", "median", "p99")) if found else ""


def _promises(figures: Figures) -> dict[str, bool]:
    held, clash = figures["held"].values(), figures["clash"]
    announced, expected = (clash[each] for each in ("announced", "primary_expects"))
    refusal = figures["refusals"]["refused_us"]["median"]
    wait = max(each["late_us"]["p99.9"] for each in figures["told"].values())
    return {
        "held: none refused, and less than 1 ms in the median": not any(
            each["refused"] or each["held_us"]["median"] >= 1000 for each in held
        ),
        f"mirrored: two units announced {announced}, the primary expects {expected}, and the data"
        " of one client went to the other": (
            announced != expected and clash["data_at_the_wrong_client"]
        ),
        f"SYNs held instead: each that is refused would wait {wait:.0f} us (999 of 1,000"
        f" expectations come by then), and not {refusal:.0f} us": wait > refusal,
    }


BENCHMARK = Benchmark(
    "After an FTP announcement: when the primary expects data, and when the SYN comes",
    expectations.measure,
    _rows,
    _promises,
    about="After an FTP announcement, when the primary expects the data connection: told by its"
    " auxiliary, against conntrackd's and other ways.",
    minutes=0.5,
)
