"""HTTP over TLS: where the app may listen, and to whom `synod` shows the token."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agents import config_http, config_token
from agents.app_http import AppError, Unreachable, ask, order
from tests.unit.test_config_tls import sign_itself


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (config_http.KEY, config_http.CERTIFICATE, config_http.CA):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_on_the_machine_itself_it_needs_no_tls(host: str) -> None:
    assert config_http.faults(host) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.10", "controller", ""])
def test_elsewhere_it_does_and_is_told_how(host: str) -> None:
    (found,) = config_http.faults(host)
    assert found.startswith(f"HTTP at {host} would be read by others on the way")
    assert "SYNOD_HTTP_CERT and SYNOD_HTTP_KEY; or leave --wsapi-host out" in found


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.10"])
def test_with_a_key_and_its_certificate_it_may(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = sign_itself(tmp_path)
    monkeypatch.setenv(config_http.KEY, keys.key)
    (found,) = config_http.faults(host)
    assert found == "HTTP over TLS needs both SYNOD_HTTP_CERT and SYNOD_HTTP_KEY"
    monkeypatch.setenv(config_http.CERTIFICATE, keys.certificate)
    assert config_http.faults(host) == []
    Path(keys.key).chmod(0o644)
    (found,) = config_http.faults(host)
    assert "others than its owner can read it (mode 644)" in found
    Path(keys.key).unlink()
    assert config_http.faults(host) == [f"{keys.key}: No such file or directory"]


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost", True),
        ("https://192.0.2.10:8080", True),
        ("http://192.0.2.10:8080", False),
        ("http://controller", False),
        ("nonsense", False),
    ],
)
def test_where_others_read_nothing(url: str, private: bool) -> None:
    assert config_http.is_private(url) == private


def test_the_token_is_not_shown_where_others_read_it() -> None:
    with pytest.raises(AppError, match="others would read the token on the way"):
        order("http://192.0.2.10:8080", "/v1/method", {})


def test_the_environment_names_whose_certificates_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(config_http.CA, sign_itself(tmp_path).certificate)
    assert len(config_http.context().get_ca_certs()) <= 1
    monkeypatch.setenv(config_http.CA, str(tmp_path / "none"))
    with pytest.raises(OSError, match="No such file"):
        config_http.context()
    monkeypatch.delenv(config_http.CA)
    assert config_http.context().check_hostname


@contextmanager
def listening(elsewhere: str = "") -> Iterator[tuple[str, list[str]]]:
    """A server, as the app or as a proxy is one: its address, and what it is asked. It may send who
    asks `elsewhere`.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers['Authorization']}")
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(302 if elsewhere else 200)
            if elsewhere:
                self.send_header("Location", f"{elsewhere}{self.path}")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def give_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text("only-for-this-test\n")
    monkeypatch.setenv(config_token.VARIABLE, str(token))


def test_no_proxy_is_shown_the_token_or_asked_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_token(tmp_path, monkeypatch)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with listening() as (app, of_app), listening() as (proxy, of_proxy):
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        ask(app, "/v1/status")
        order(app, "/v1/method", {})
    assert of_app == ["/v1/status None", "/v1/method Bearer only-for-this-test"]
    assert of_proxy == []


def test_nobody_is_shown_the_token_to_whom_an_answer_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_token(tmp_path, monkeypatch)
    with (
        listening() as (other, of_other),
        listening(elsewhere=other) as (app, of_app),
        pytest.raises(Unreachable, match="said 302 Found"),
    ):
        order(app, "/v1/method", {})
    assert (of_app, of_other) == (["/v1/method Bearer only-for-this-test"], [])
