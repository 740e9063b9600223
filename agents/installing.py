"""Writes a service file, has systemd take it up, and takes both back; and the app's user, too.

What stands in the file is `agents.systemd`'s. A file that isn't ours is neither written over nor
removed.
"""

import os
import shutil
from pathlib import Path

from agents.machine import ProvisionError, run
from agents.systemd import DIRECTORY, USER, USER_TEXT, USERS

_OURS = "# Written by 'synod "


def install(name: str, text: str, start: bool) -> bool:
    """Whether anything is other than before. ProvisionError with why not; then, if the service
    doesn't start, it stays installed, for systemd goes on trying.
    """
    _check()
    path = _ours(name)
    old = path.read_text() if path.exists() else None
    if old != text:
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(path)
        run(("systemctl", "daemon-reload"))
    run(("systemctl", "--quiet", "enable", name))
    if not start:
        return old != text
    was = _active(name)
    # A unit that is up by another text goes down first, by that.
    verb = "restart" if was and old != text else "start"
    run(("systemctl", verb, name), seconds=180)
    return old != text or not was


def add_user() -> None:
    """The user that the app runs as. ProvisionError if there can't be one."""
    _check()
    _require_ours(USERS)
    USERS.parent.mkdir(exist_ok=True)
    USERS.write_text(USER_TEXT)
    run(("systemd-sysusers", str(USERS)))


def remove_user() -> None:
    """Takes it away, if it is ours. ProvisionError if it can't be."""
    if USERS.exists() and USERS.read_text().startswith(_OURS):
        USERS.unlink()
        run(("userdel", USER))


def uninstall(name: str) -> bool:
    """Stops, disables and removes it; whether it was there. ProvisionError with why not."""
    _check()
    path = _ours(name)
    if not path.exists():
        return False
    run(("systemctl", "--quiet", "disable", "--now", name), seconds=180)
    path.unlink()
    run(("systemctl", "daemon-reload"))
    return True


def _active(name: str) -> bool:
    said = run(("systemctl", "show", "--property=ActiveState", "--value", name)).strip()
    return said in ("active", "activating", "reloading")


def _check() -> None:
    if os.geteuid() != 0:
        raise ProvisionError("only root can install a service")
    if not shutil.which("systemctl") or not Path("/run/systemd/system").exists():
        raise ProvisionError(
            "systemd doesn't run here: have what does run 'synod unit up --foreground', "
            "or ryu-manager; --print shows how"
        )


def _ours(name: str) -> Path:
    path = DIRECTORY / name
    _require_ours(path)
    return path


def _require_ours(path: Path) -> None:
    if path.exists() and not path.read_text().startswith(_OURS):
        raise ProvisionError(f"{path} is there, and not Synod's")
