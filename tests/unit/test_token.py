"""The operator's token: which file is taken for one, and who is admitted by it."""

import subprocess
from pathlib import Path

import pytest

from agents import config_token
from agents.config_token import NoToken, TokenError
from ryu_apps.admission import Admission, TurnedAway

GOOD = "b64-like_token.0123456789+/=="


def written(tmp_path: Path, text: str | bytes, mode: int = 0o600) -> str:
    path = tmp_path / "token"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("text", [GOOD, GOOD + "\n", f"  {GOOD}\r\n", "x" * 16, "x" * 1024])
def test_what_is_a_token(tmp_path: Path, text: str) -> None:
    assert config_token.load(written(tmp_path, text)) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", "\n", "x" * 15, "x" * 1025, "two words of a token", f"{GOOD}\n{GOOD}", b"\xff" * 32],
)
def test_what_is_none(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(TokenError, match=r"not a token of 16 to 1024 .* head -c 32 /dev/urandom"):
        config_token.load(written(tmp_path, text))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_what_others_can_read_is_not_taken(tmp_path: Path, mode: int) -> None:
    with pytest.raises(TokenError, match=rf"others than its owner .*mode {mode:o}.*'chmod 600 "):
        config_token.load(written(tmp_path, GOOD, mode))


def test_what_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoToken, match=f"there is no token: make one by .*>{tmp_path}/none"):
        config_token.load(str(tmp_path / "none"))
    with pytest.raises(TokenError, match="Is a directory"):
        config_token.load(str(tmp_path))


def test_the_recipe_makes_one(tmp_path: Path) -> None:
    path = str(tmp_path / "token")
    subprocess.run(["sh", "-c", f"umask 022; {config_token.recipe(path)}"], check=True)
    assert len(config_token.load(path)) == 44


def test_the_environment_names_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNOD_TOKEN_FILE", "/run/token")
    assert config_token.path() == "/run/token"
    monkeypatch.delenv("SYNOD_TOKEN_FILE")
    assert config_token.path() == "/etc/synod/token"


class TestAdmission:
    def turned_away(self, admission: Admission, authorization: str) -> tuple[int, str]:
        with pytest.raises(TurnedAway) as found:
            admission.admit(authorization)
        return found.value.code, str(found.value)

    def test_who_shows_the_token_is_admitted(self, tmp_path: Path) -> None:
        admission = Admission(written(tmp_path, GOOD))
        admission.admit(f"Bearer {GOOD}")
        admission.admit(f"bearer  {GOOD} ")
        assert admission.fault() == ""

    @pytest.mark.parametrize(
        ("authorization", "words"),
        [
            ("", "an order needs the header"),
            (GOOD, "an order needs the header"),
            (f"Basic {GOOD}", "an order needs the header"),
            ("Bearer", "not the token"),
            (f"Bearer {GOOD[:-1]}", "not the token"),
            (f"Bearer {GOOD}x", "not the token"),
            ("Bearer tök", "not the token"),
        ],
    )
    def test_who_does_not_is_not(self, tmp_path: Path, authorization: str, words: str) -> None:
        code, why = self.turned_away(Admission(written(tmp_path, GOOD)), authorization)
        assert (code, words in why) == (401, True), why

    def test_without_a_token_nobody_is(self, tmp_path: Path) -> None:
        admission = Admission(str(tmp_path / "token"))
        code, why = self.turned_away(admission, f"Bearer {GOOD}")
        assert (code, admission.fault() in why) == (403, True)
        assert "head -c 32 /dev/urandom" in why
        written(tmp_path, GOOD, 0o644)
        assert self.turned_away(admission, f"Bearer {GOOD}")[0] == 403
        written(tmp_path, GOOD)
        admission.admit(f"Bearer {GOOD}")
