"""What `script/bench decisions` says of its figures, and what they must be."""

from tests.bench import decisions
from tests.bench.benchmark import Benchmark, Figures, Rows, rates


def _rows(figures: Figures) -> Rows:
    names = {
        "textbook": "a textbook Ryu app",
        "single": "this app, an offer a packet-in",
        "batched": f"this app, {figures['offers_a_batch']} offers a packet-in",
        "single_tls": "over TLS, an offer a packet-in",
        "batched_tls": f"over TLS, {figures['offers_a_batch']} offers a packet-in",
    }
    return rates(figures, names, "per_cpu_second")


BENCHMARK = Benchmark(
    "Decisions of the app, on one core",
    decisions.measure,
    _rows,
    lambda figures: {
        f"at least 25 times the textbook app: {figures['ratio']}": figures["ratio"] >= 25,
        f"over TLS at least 25 times the textbook app: {figures['ratio_tls']}": (
            figures["ratio_tls"] >= 25
        ),
        f"at most 300 bytes a live session: {figures['bytes_a_session']}": (
            figures["bytes_a_session"] <= 300
        ),
    },
    about="Decisions a second of the app on one core, against a textbook Ryu app that parses SYNs"
    " and writes the same flows; bytes that a live session takes in the app.",
    minutes=0.1,
)
