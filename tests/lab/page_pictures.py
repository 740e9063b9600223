"""Makes the pictures of the web page that the documentation shows, of a lab with real traffic.

    sudo .venv/bin/python -m tests.lab.page_pictures docs/pictures

It takes six minutes: as long as the charts go back, and some.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.lab.browser import DESKTOP, PHONE
from tests.lab.failing import mend
from tests.lab.page import URL
from tests.lab.world import PORT, SERVER, SNAT, PeerProcess, World
from topologies.faulting import Faults
from topologies.lab import Lab

LONGEST = 1100  # pixels
QUIET, BUSY = 1 / 12, 1 / 18  # seconds between new sessions


class Photographer:
    """A browser that takes pictures."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.browser = PeerProcess(world.lab, "controller", "tests.lab.browser")

    def take(self, name: str, size: tuple[int, int], *, dark: bool, explain: str = "") -> None:
        """The whole page."""
        self.browser("open", url=URL, size=size, dark=dark)
        self._until("#events li")
        if explain:
            self.browser("type", css="#session", text=explain)
            self._until("#explain .answer > *")
        self.snap(name)

    def snap(self, name: str) -> None:
        """As it is now."""
        self.world.pass_time(2)  # it is drawn once a second
        path = self.folder / f"page-{name}.png"
        print(path, self.browser("picture", path=str(path), most=LONGEST), "bytes")

    def _until(self, css: str) -> None:
        self.world.until(lambda: self.browser("texts", css=css), f"no {css}", 20)


def calls(world: World, every: float) -> PeerProcess:
    """New sessions all the while, each a short one."""
    peer = world.another_peer("client", "tests.lab.traffic_peer")
    peer("call", address=SERVER, port=PORT, every=every)
    return peer


def play(world: World, photographer: Photographer) -> None:
    """Traffic, a death and a cut, all well again, the app away."""
    faults = Faults(world.lab)
    world.peer("server")
    for _ in range(9):
        world.connect()  # and they stay open
    calls(world, QUIET)
    world.pass_time(100)
    more = calls(world, BUSY)
    world.pass_time(70)
    faults.kill("u2")
    faults.cut("u3", "ext")
    world.pass_time(12)
    photographer.take("trouble-dark", DESKTOP, dark=True)
    photographer.take("trouble-phone", PHONE, dark=False)
    mend(world)
    world.pass_time(30)
    more("hush")
    world.pass_time(30)
    calls(world, BUSY)
    world.pass_time(60)
    session = world.connect_through(2).endpoints
    photographer.take("light", DESKTOP, dark=False, explain=str(session))
    photographer.take("phone-dark", PHONE, dark=True)
    world.lab.stop_app()
    world.pass_time(10)
    photographer.snap("lost-phone")


def main(folder: Path) -> None:
    """Makes them all."""
    folder.mkdir(parents=True, exist_ok=True)
    how: dict[str, Any] = {"name": "firewalls", "rules": SNAT}
    with Lab(units=3, **how) as lab, tempfile.TemporaryDirectory() as captures:
        world = World(lab, 3, Path(captures))
        world.timeouts(time_wait=3)
        photographer = Photographer(world, folder)
        try:
            play(world, photographer)
        finally:
            photographer.browser.stop()
            world.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
