"""Keys and certificates for a test's cluster, made once by `synod pki make`'s own way."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from agents import pki
from agents.config_tls import CA, CERTIFICATE, KEY, Keys, of
from tests.switch.ovs import Switch

UNITS = range(1, 4)
ANY = "any"


@functools.cache
def made(cluster: str) -> Path:
    """All that a cluster of that name needs: another's isn't signed by its CAs."""
    folder = Path(tempfile.mkdtemp(prefix=f"synod-pki-{cluster}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    pki.make(folder, UNITS, lambda _what: None)
    # One that names no unit: a switch of tests is several units'. By ovs-pki itself: RSA's.
    (folder / ANY).mkdir()
    options = (f"--dir={folder}/ca", f"--log={folder}/ca/ovs-pki.log", "--unique")
    argv = ("ovs-pki", *options, "req+sign", ANY, "switch")
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    (folder / f"{ANY}-privkey.pem").rename(folder / ANY / KEY)
    (folder / f"{ANY}-cert.pem").rename(folder / ANY / CERTIFICATE)
    shutil.copy(folder / pki.unit_folder(1) / CA, folder / ANY / CA)
    return folder


def of_app(cluster: str = "lab") -> Keys:
    """The app's."""
    return of(str(made(cluster) / pki.CONTROLLER))


def of_any(cluster: str = "lab") -> Keys:
    """Those of a switch that is several units'."""
    return of(str(made(cluster) / ANY))


def of_unit(unit: int = 1, cluster: str = "lab") -> Keys:
    """A unit's."""
    return of(str(made(cluster) / pki.unit_folder(unit)))


def give(switch: Switch, keys: Keys) -> None:
    """The switch has these, and no others."""
    switch.vsctl("set-ssl", keys.key, keys.certificate, keys.ca)
