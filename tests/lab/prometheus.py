"""A real Prometheus on the lab's controller, which scrapes the app as docs/metrics.md says."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.lab.world import World

PORT = 9090
SCRAPED = "127.0.0.1:8080"
INTERVAL = 0.5  # seconds; a person's has 5

Sample = tuple[dict[str, str], float]


class Prometheus:
    """Asks it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get(self, path: str, **query: str) -> Any:
        """The data of its answer. AssertionError with what it says is wrong."""
        words = [word for item in query.items() for word in ("--data-urlencode", "=".join(item))]
        argv = ["curl", "-sS", "--get", f"http://127.0.0.1:{PORT}/{path}", *words]
        answer = json.loads(self._world.lab.run("controller", argv).stdout)
        assert answer["status"] == "success", answer
        return answer["data"]

    def samples(self, expression: str) -> list[Sample]:
        """What an expression is now: labels and values."""
        found = self.get("api/v1/query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def firing(self) -> set[str]:
        """The alerts whose conditions hold, whether or not for long enough."""
        found = self.get("api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in found}

    def rules(self) -> list[dict[str, Any]]:
        """The rules that it has read, and how it fares with them."""
        (group,) = self.get("api/v1/rules")["groups"]
        found: list[dict[str, Any]] = group["rules"]
        return found

    def ready(self) -> bool:
        """Has it scraped the app, and evaluated its rules?"""
        argv = ["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{PORT}/-/ready"]
        if self._world.lab.run("controller", argv, check=False).returncode:
            return False
        return bool(self.samples("rate(up[5s])")) and all(
            rule["health"] != "unknown" for rule in self.rules()
        )


@contextmanager
def running(world: World, rules: Path, folder: Path) -> Iterator[Prometheus]:
    """Runs one until the end of the block; it has scraped twice when that begins."""
    config = folder / "prometheus.yml"
    settings = {
        "global": {
            "scrape_interval": f"{int(INTERVAL * 1000)}ms",
            "evaluation_interval": f"{int(INTERVAL * 1000)}ms",
        },
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "synod", "static_configs": [{"targets": [SCRAPED]}]}],
    }
    config.write_text(yaml.safe_dump(settings))
    argv = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = world.lab.popen(
            "controller",
            [*argv, f"--web.listen-address=127.0.0.1:{PORT}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    found = Prometheus(world)
    try:
        world.until(found.ready, (folder / "prometheus.log").read_text, 30)
        yield found
    finally:
        process.terminate()
        process.wait(20)
