"""What the core tells of the cluster, in the words of Prometheus: text or OpenMetrics.

It has a registry of its own. Metrics of the process itself (CPU, memory) are not in it: they are
the service manager's to tell.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ryu_apps.core.controller import Controller
from ryu_apps.core.metrics import METRICS, Kind, Sample

_SAMPLED = {Kind.GAUGE: GaugeMetricFamily, Kind.COUNTER: CounterMetricFamily}


class Exposition(Collector):
    """Asks the core anew with each scrape; `clock` is the core's."""

    def __init__(self, controller: Controller, clock: Callable[[], float]) -> None:
        self._controller = controller
        self._clock = clock
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that an Accept header asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterable[Metric]:
        """Called by the registry: one family a row, without samples if there is nothing to say."""
        now = self._clock()
        for row in METRICS:
            samples = row.read(self._controller, now)
            yield _family(row.name, row.kind, row.meaning, row.labels, samples)


def _family(
    name: str, kind: Kind, meaning: str, labels: tuple[str, ...], samples: Iterable[Sample]
) -> Metric:
    if kind is Kind.INFO:
        info = InfoMetricFamily(name.removesuffix("_info"), meaning, labels=labels)
        for values, _ in samples:
            info.add_metric(values, {})
        return info
    family: CounterMetricFamily | GaugeMetricFamily = _SAMPLED[kind](name, meaning, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
