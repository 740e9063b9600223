"""Many transfers by FTP, each by a curl of its own: planned, run so many at a time, checked."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.related import MODES, curl_options, digest, own_ports, pages, write_random
from tests.lab.world import CLIENT, SERVER, World

SMALLEST, LARGEST = 2_000, 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file with its digest, where it arrives, and what curl is told to get it there."""

    mode: str
    wanted: str
    arrives: Path
    options: str


def plan(world: World, folder: Path, name: str, count: int) -> list[Transfer]:
    """So many transfers, all modes in turn, downloads and uploads, of files of assorted sizes."""
    served = pages(world, "server") / name
    for each in (served, folder):
        each.mkdir()
    return list(_planned(served, folder, name, count))


def _planned(served: Path, folder: Path, name: str, count: int) -> Iterator[Transfer]:
    chance = random.Random(count)
    url = f"ftp://{SERVER}"
    for number in range(count):
        mode = MODES[number % len(MODES)]
        size = round(SMALLEST * (LARGEST / SMALLEST) ** chance.random())
        options = " ".join(curl_options(mode, CLIENT, own_ports(2)))
        if number // len(MODES) % 2:
            source, arrives = folder / f"{number}", served.parent / "incoming" / f"{name}-{number}"
            options += f" --upload-file {source} {url}/incoming/{arrives.name}"
        else:
            source, arrives = served / f"{number}", folder / f"{number}"
            options += f" --output {arrives} {url}/{name}/{number}"
        yield Transfer(mode, write_random(source, size, number), arrives, options)


def run(world: World, transfers: list[Transfer], together: int) -> list[str]:
    """Carries them out, so many at a time. What curl said of those that failed.

    Of many, none may go as fast as it could: it would be over before as many others have begun.
    """
    said = ["--write-out", "%{exitcode} %{response_code} %{url_effective} %{errormsg}\\n"]
    if together > 1:
        said += ["--limit-rate", "400k"]
    done = world.lab.run(
        "client",
        ["xargs", "-P", str(together), "-L", "1", "curl", *said],
        input="\n".join(transfer.options for transfer in transfers) + "\n",
        check=False,
        timeout=240,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(transfers), done.stderr
    return [line for line in lines if not line.startswith("0 ")]


def corrupted(transfers: list[Transfer]) -> list[Transfer]:
    """Those whose file is not what was sent."""
    return [each for each in transfers if digest(each.arrives) != each.wanted]
