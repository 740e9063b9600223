"""One capture of many interfaces of a lab: dumpcap on each, mergecap at the end.

Every interface has the name `HOST/INTERFACE` in the file (pcapng's if_name). All hosts have the
machine's one clock, so time stamps are comparable. It only listens, and nothing but the file stays.
"""

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from topologies.hosts import LabError, Misnamed
from topologies.lab import Lab

_PROGRAMS = ("dumpcap", "mergecap")
_POLL = 0.2  # seconds
_READY = 10  # seconds that dumpcap may take to listen
_END = 10  # seconds that it may take to write what it has
REST = 0.5  # seconds in which what is left of a session goes by, after its command has ended


def check_programs() -> None:
    """LabError, with the Debian package, if a program is missing."""
    if missing := [name for name in _PROGRAMS if not shutil.which(name)]:
        raise LabError(
            f"no {' and no '.join(missing)} here: 'sudo apt install wireshark-common', "
            "or run 'sudo script/setup'"
        )


def places(lab: Lab, wanted: Sequence[str]) -> list[str]:
    """`HOST/INTERFACE` of all that is to be listened to.

    A unit stands for its NICs and `synod0`, another host for all of its interfaces; nothing for all
    units. Misnamed if there is no such host or interface.
    """
    found = []
    for each in wanted or [f"u{number}" for number in lab.units]:
        host, slash, interface = each.partition("/")
        there = _interfaces(lab, host)
        if slash and interface not in there:
            raise Misnamed(f"{host} has no interface {interface!r}; there are {', '.join(there)}")
        is_unit = host in {f"u{number}" for number in lab.units}
        usual = [name for name in there if not is_unit or name.startswith(("nic-", "synod0"))]
        found += [f"{host}/{name}" for name in ([interface] if interface else usual)]
    return list(dict.fromkeys(found))


def _interfaces(lab: Lab, host: str) -> list[str]:
    links = json.loads(lab.run(host, ["ip", "-j", "link"]).stdout)
    return [link["ifname"] for link in links if "LOOPBACK" not in link["flags"]]


class Capturing:
    """dumpcap on all places; see `capturing`."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab, self._folder = lab, folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, wanted: Sequence[str], expression: str) -> None:
        """Returns when each place is listened to. LabError if one can't be."""
        for place in wanted:
            host, interface = place.split("/")
            argv = ["dumpcap", "-f", expression, "-i", interface, "--ifname", place]
            with self._said(place).open("wb") as said:
                self._running[place] = self._lab.popen(
                    host,
                    [*argv, "-w", str(self._file(place))],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                )
        deadline = time.monotonic() + _READY
        while waiting := [place for place in wanted if "File: " not in self._text(place)]:
            self.check()
            if time.monotonic() > deadline:
                raise LabError(f"dumpcap doesn't listen on {', '.join(waiting)}")
            time.sleep(_POLL / 4)

    def check(self) -> None:
        """LabError if a dumpcap has ended by itself."""
        for place, process in self._running.items():
            if process.poll() is not None:
                said = self._text(place).strip() or f"ended with {process.returncode}"
                raise LabError(f"dumpcap on {place}: {said}")

    def packets(self) -> int:
        """How many packets it has so far."""
        counts = (re.findall(r"Packets: (\d+)", self._text(place)) for place in self._running)
        return sum(int(found[-1]) for found in counts if found)

    def stop(self) -> None:
        """Ends every dumpcap; what they have is written then."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def merge(self, path: Path) -> None:
        """Writes all of it to one file, in the order of time."""
        files = [str(self._file(place)) for place in self._running]
        # `-I none`: no interface is ever taken for another, however alike they are.
        argv = ["mergecap", "-I", "none", "-F", "pcapng", "-w", str(path), *files]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"mergecap: {done.stderr.strip()}")

    def _file(self, place: str) -> Path:
        return self._folder / f"{place.replace('/', '-')}.pcapng"

    def _said(self, place: str) -> Path:
        return self._file(place).with_suffix(".log")

    def _text(self, place: str) -> str:
        return self._said(place).read_text(errors="replace")


@contextmanager
def capturing(
    lab: Lab, path: Path, wanted: Sequence[str] = (), expression: str = ""
) -> Iterator[Capturing]:
    """Captures from entering to leaving, and writes `path` then, unless the body raises.
    `expression` is a filter as tcpdump's. LabError; Misnamed if one of these isn't there.
    """
    check_programs()
    if not path.parent.is_dir():
        raise Misnamed(f"there is no directory {path.parent}")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="synod-capture-"))
        found = Capturing(lab, Path(folder))
        stack.callback(found.stop)
        found.start(places(lab, wanted), expression)
        yield found
        found.stop()
        found.merge(path)


def listen(found: Capturing, duration: float, tell: Callable[[int], None]) -> None:
    """Until so many seconds are over (0: never) or Ctrl-C; tells the packets so far. LabError."""
    end = time.monotonic() + duration
    try:
        while not duration or time.monotonic() < end:
            found.check()
            tell(found.packets())
            time.sleep(_POLL)
    except KeyboardInterrupt:
        return
