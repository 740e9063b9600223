"""The cluster's key: what is one, what `synod key` does with it, and agents that take it up."""

import base64
import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents import config_key
from agents.cli import app
from agents.config_key import KeyFileError, NoKey
from agents.key_file import KeyFile
from agents.wire.seal import fingerprint

CLUSTER = """
name: wall
group: 7
method: round-robin
interfaces:
  int: {nic: nic-int, addresses: [10.1.0.1/24]}
  ext: {nic: nic-ext, addresses: [203.0.113.1/24]}
ha: {nic: nic-ha, subnet: 169.254.83.0/24}
units: [{id: 1}, {id: 2}]
controllers: ["tcp:127.0.0.1:6653"]
"""
ONE, TWO = bytes(32), bytes(range(32))


def written(tmp_path: Path, text: str | bytes, mode: int = 0o600) -> str:
    path = tmp_path / "key"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


def line(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (line(ONE), (ONE,)),
        (f"{line(ONE)}\n{line(TWO)}\n", (ONE, TWO)),
        (f"  {line(TWO)}\r\n\n", (TWO,)),
        (config_key.text([TWO, ONE]), (TWO, ONE)),
    ],
)
def test_what_is_a_key(tmp_path: Path, text: str, keys: tuple[bytes, ...]) -> None:
    assert config_key.load(written(tmp_path, text)) == keys


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "not base64!",
        line(ONE[1:]),
        line(ONE + b"x"),
        f"{line(ONE)}\n{line(ONE)}",
        f"{line(ONE)}\n{line(TWO)}\n{line(ONE)}",
        f"{line(ONE)}\nx",
        line(ONE) + " " * 1000,
        b"\xff" * 44,
    ],
)
def test_what_is_none(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(
        KeyFileError, match=r"not one line, or two different ones, .*'synod key make'"
    ):
        config_key.load(written(tmp_path, text))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_what_others_can_read_is_not_taken(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileError, match=rf"others than its owner .*mode {mode:o}.*'chmod 600 "):
        config_key.load(written(tmp_path, line(ONE), mode))


def test_what_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match="there is no key: make one by 'synod key make'"):
        config_key.load(str(tmp_path / "none"))
    with pytest.raises(KeyFileError, match="Is a directory"):
        config_key.load(str(tmp_path))


def test_the_environment_names_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNOD_KEY_FILE", "/run/key")
    assert config_key.path() == "/run/key"
    monkeypatch.delenv("SYNOD_KEY_FILE")
    assert config_key.path() == "/etc/synod/key"


# -- the command


def synod(*words: str, file: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["key", *words, "--file", str(file)])
    return done.exit_code, " ".join(done.output.split())


def test_a_key_is_made_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "key"
    code, said = synod("make", file=file)
    (first,) = config_key.load(str(file))
    assert (code, said) == (0, f"{file}: {fingerprint(first):08x} seals")
    assert synod("show", file=file) == (0, said)
    assert synod("add", file=file)[0] == 0
    kept, second = config_key.load(str(file))
    assert kept == first != second
    code, said = synod("use", file=file)
    assert config_key.load(str(file)) == (second, first)
    assert said == (
        f"{file}: {fingerprint(second):08x} seals, {fingerprint(first):08x} is accepted, too"
    )
    assert synod("drop", file=file)[0] == 0
    assert config_key.load(str(file)) == (second,)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("words", "text", "wanted"),
    [
        ("make", line(ONE), "there is a key already: 'synod key add'"),
        ("make", "garbage", "not one line"),
        ("add", config_key.text([ONE, TWO]), "there are two keys"),
        ("use", line(ONE), "one key only"),
        ("drop", line(ONE), "one key only"),
        ("show", "", "not one line"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    tmp_path: Path, words: str, text: str, wanted: str
) -> None:
    file = Path(written(tmp_path, text))
    code, said = synod(words, file=file)
    assert code == 2
    assert wanted in said
    assert file.read_text() == text


@pytest.mark.parametrize("words", ["add", "use", "drop", "show"])
def test_without_a_key_it_says_how_to_make_one(tmp_path: Path, words: str) -> None:
    code, said = synod(words, file=tmp_path / "key")
    assert code == 2
    assert "there is no key: make one by 'synod key make'" in said


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    code, said = synod("make", file=tmp_path / "none" / "key")
    assert code == 1
    assert "No such file or directory" in said


def test_an_agent_without_a_key_says_so_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(CLUSTER)
    monkeypatch.setenv("SYNOD_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "synod0")])
    for words in (("agent", "--id", "1"), ("unit", "up", "--id", "1")):
        done = CliRunner().invoke(app, [*words, "--config", str(cluster)])
        assert done.exit_code == 2
        assert "there is no key: make one by 'synod key make'" in " ".join(done.output.split())


# -- the file, while an agent runs


def test_a_file_that_is_another_is_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, line(ONE))
    file = KeyFile(path, 7)
    assert file.load().fingerprints == (fingerprint(ONE),)
    assert file.changed() is None
    _replace(path, config_key.text([ONE, TWO]))
    keys = file.changed()
    assert keys is not None
    assert keys.fingerprints == (fingerprint(ONE), fingerprint(TWO))
    names = f"{fingerprint(ONE):08x},{fingerprint(TWO):08x}"
    assert f"event=keys_changed keys={names}" in capsys.readouterr().err
    assert file.changed() is None


def test_a_file_that_cannot_be_taken_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, line(ONE))
    file = KeyFile(path, 7)
    file.load()
    _replace(path, "garbage")
    assert [file.changed(), file.changed()] == [None, None]
    (said,) = capsys.readouterr().err.splitlines()
    assert "event=keys_kept" in said
    assert f"{path}: not one line" in said
    os.unlink(path)
    assert [file.changed(), file.changed()] == [None, None]
    assert len(capsys.readouterr().err.splitlines()) == 1
    written(tmp_path, line(TWO))
    assert file.changed() is not None


def _replace(path: str, text: str) -> None:
    """As `synod key` does: another file of that name."""
    new = Path(f"{path}.new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)
