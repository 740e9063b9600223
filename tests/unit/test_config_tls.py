"""The keys of OpenFlow over TLS: which files are fit, and what is said of the others."""

import shutil
import subprocess
from pathlib import Path

import pytest

from agents.config_tls import CA, CERTIFICATE, KEY, Keys, faults, of


def sign_itself(folder: Path, *protection: str) -> Keys:
    """A key, a certificate for it by itself, and that as CA."""
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", "/CN=test", "-keyout", folder / KEY, "-out", folder / CERTIFICATE),
            *(protection or ("-nodes",)),
        ),
        check=True,
        capture_output=True,
    )
    shutil.copy(folder / CERTIFICATE, folder / CA)
    return of(str(folder))


def test_what_is_fit_has_no_fault(tmp_path: Path) -> None:
    assert faults(sign_itself(tmp_path)) == []


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    found = faults(of(str(tmp_path)))
    assert [each.partition(": ")[0] for each in found] == [
        str(tmp_path / name) for name in (KEY, CERTIFICATE, CA)
    ]
    assert all("No such file or directory: 'synod pki make' makes it" in each for each in found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_key_that_others_can_read_is_none(tmp_path: Path, mode: int) -> None:
    keys = sign_itself(tmp_path)
    Path(keys.key).chmod(mode)
    (found,) = faults(keys)
    assert f"{keys.key}: others than its owner can read it (mode {mode:o}): 'chmod 600" in found


def test_a_certificate_is_its_keys(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (sign_itself(tmp_path / name) for name in ("one", "two"))
    (found,) = faults(Keys(one.key, two.certificate, two.ca))
    assert found == f"{two.certificate}: not a certificate for {one.key}: key values mismatch"


def test_what_is_no_certificate(tmp_path: Path) -> None:
    keys = sign_itself(tmp_path)
    for path in (keys.certificate, keys.ca):
        Path(path).write_text("none\n")
    first, second = faults(keys)
    assert first.startswith(f"{keys.certificate}: not a certificate for {keys.key}: ")
    assert second.startswith(f"{keys.ca}: not a CA's certificate: no certificate")


def test_a_key_with_a_password_is_asked_for_by_nobody(tmp_path: Path) -> None:
    (found,) = faults(sign_itself(tmp_path, "-passout", "pass:secret"))
    assert "the key has a password" in found
