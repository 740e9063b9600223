"""The keys and certificates that a cluster's OpenFlow over TLS needs, by `ovs-pki`.

    FOLDER/ca/             two certificate authorities: the controller's, the switches' (ovs-pki(8))
    FOLDER/controller/     privkey.pem, cert.pem, cacert.pem: all that the app's machine needs
    FOLDER/unit-N/         as much for each unit: its own key, the controller's CA

What is there stays as it is; what is missing is made beside its place and put there whole. Keys are
of P-256: `ovs-pki` itself makes none such, but signs them; a handshake then costs the app little.
Copies nothing to other machines.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.config_tls import CA, CERTIFICATE, KEY, NAMES
from agents.machine import ProvisionError, run

CONTROLLER = "controller"
_AUTHORITIES = "ca"
# What ovs-pki signs has this organization: that of its CAs (its policy: organizationName = match).
_SUBJECT = "/O=Open vSwitch/OU=Synod/CN={name}"


def unit_folder(unit: int) -> str:
    """The name of a unit's folder."""
    return f"unit-{unit}"


def make(folder: Path, units: Iterable[int], report: Callable[[str], None]) -> list[str]:
    """Makes what is missing; the names of the machines whose folders are new. ProvisionError with
    what to do if that fails, or if one that is there isn't whole.
    """
    missing = [program for program in ("ovs-pki", "openssl") if not shutil.which(program)]
    if missing:
        raise ProvisionError(f"{', '.join(missing)} not found: apt-get install openvswitch-common")
    machines = [(CONTROLLER, "controller"), *((unit_folder(unit), "switch") for unit in units)]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            raise ProvisionError(
                f"{folder}: others than its owner can look into it, and it is to have private"
                f" keys: name another folder, or 'chmod 700 {folder}'"
            )
        with _alone(folder):
            fresh = [name for name, _ in machines if not _is_whole(folder / name)]
            if not (folder / _AUTHORITIES).exists():
                _authorities(folder, report)
            for name, kind in machines:
                if name in fresh:
                    report(f"{name}: its key, and a certificate for it")
                    _machine(folder, name, kind)
    except OSError as error:
        raise ProvisionError(f"{error.filename or folder}: {error.strerror}") from error
    return fresh


def _is_whole(folder: Path) -> bool:
    if not folder.exists():
        return False
    if lacking := [name for name in NAMES if not (folder / name).exists()]:
        raise ProvisionError(
            f"{folder} lacks {', '.join(lacking)}: remove that folder, and it is made anew"
        )
    return True


def _authorities(folder: Path, report: Callable[[str], None]) -> None:
    if found := sorted(each.name for each in folder.iterdir() if (each / CERTIFICATE).exists()):
        raise ProvisionError(
            f"{folder / _AUTHORITIES} is missing, and {', '.join(found)} had certificates of it:"
            " bring it back, or make all anew in another folder"
        )
    report("two certificate authorities: the controller's, the switches'")
    with _beside(folder / _AUTHORITIES) as new:
        _ovs_pki(new, "init", "--force")  # it is there, and empty


def _machine(folder: Path, name: str, kind: str) -> None:
    other = "switchca" if kind == "controller" else "controllerca"
    authorities = folder / _AUTHORITIES
    with _beside(folder / name) as new:
        # The names by which ovs-pki knows a key, its request and its certificate.
        stem = new / name
        run(
            (
                *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:P-256", "-nodes", "-subj", _SUBJECT.format(name=name)),
                *("-keyout", str(new / KEY), "-out", f"{stem}-req.pem"),
            )
        )
        (new / KEY).chmod(0o600)
        _ovs_pki(authorities, "--batch", "sign", str(stem), kind)
        Path(f"{stem}-cert.pem").rename(new / CERTIFICATE)
        Path(f"{stem}-req.pem").unlink()
        shutil.copyfile(authorities / other / "cacert.pem", new / CA)
        if not (new / CERTIFICATE).stat().st_size:
            raise ProvisionError(f"ovs-pki signed nothing: see {authorities / 'ovs-pki.log'}")


def _ovs_pki(authorities: Path, *words: str) -> None:
    log = f"--log={authorities.absolute() / 'ovs-pki.log'}"
    run(("ovs-pki", f"--dir={authorities.absolute()}", log, *words))


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A folder that becomes `place` if all goes well, and else is no more."""
    new = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent.absolute()))
    try:
        yield new
        new.rename(place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two at once would give the same serial number twice (ca(1))."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
