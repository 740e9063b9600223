"""The app's HTTP: on the machine itself, or over TLS; and `synod`, which verifies it."""

import os
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents import cli, config_http
from tests.polling import until
from tests.switch import keys
from tests.switch.app import START, App, ended
from tests.switch.units import cluster_of


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for the loopback address, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("https")
    key, certificate = str(folder / "key.pem"), str(folder / "cert.pem")
    argv = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    names = ("-nodes", "-subj", "/CN=app", "-addext", "subjectAltName=IP:127.0.0.1")
    out = ("-keyout", key, "-out", certificate)
    subprocess.run((*argv, *names, *out), check=True, capture_output=True)
    return key, certificate


@pytest.fixture(scope="module")
def app(files: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    made = App(tmp_path_factory.mktemp("app"), cluster_of(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(config_http.KEY, files[0])
        patch.setenv(config_http.CERTIFICATE, files[1])
        made.start("-m", "ryu.cmd.manager")
    try:
        listens = f"wsgi starting up on https://127.0.0.1:{made.http}"
        until(lambda: listens in made.log.read_text(), "it listens", START)
        yield made
    finally:
        made.stop()


def synod(app: App, *words: str, ca: str = "") -> tuple[int, str]:
    env = {"SYNOD_CA_FILE": ca, "SYNOD_TOKEN_FILE": str(app.token)}
    url = f"https://127.0.0.1:{app.http}"
    done = CliRunner().invoke(cli.app, [*words, "--url", url], env=env)
    return done.exit_code, done.output


def test_synod_verifies_the_app_and_then_asks_and_orders(app: App, files: tuple[str, str]) -> None:
    code, said = synod(app, "status", ca=files[1])
    assert (code, "no primary yet" in said) == (0, True), said
    assert synod(app, "weight", "1", "5", ca=files[1])[0] == 0


@pytest.mark.parametrize("ca", ["", "another's"])
def test_an_app_of_another_ca_is_asked_nothing(app: App, ca: str) -> None:
    code, said = synod(app, "status", ca=ca and keys.of_unit(1, "another").ca)
    assert code == 3
    assert "name its CA's certificate by SYNOD_CA_FILE" in said


def test_who_speaks_no_tls_gets_nothing_and_holds_up_nobody(
    app: App, files: tuple[str, str]
) -> None:
    with socket.create_connection(("127.0.0.1", app.http)) as silent:
        with socket.create_connection(("127.0.0.1", app.http)) as plain:
            plain.sendall(b"GET /v1/status HTTP/1.0\r\n\r\n")
            assert b"HTTP" not in plain.recv(1000)
        assert synod(app, "status", ca=files[1])[0] == 0
        silent.close()
    assert "Traceback" not in app.log.read_text()


def test_old_versions_are_not_spoken(app: App, files: tuple[str, str]) -> None:
    context = ssl.create_default_context(cafile=files[1])
    with urllib.request.urlopen(f"https://127.0.0.1:{app.http}/v1/status", context=context) as it:
        assert it.status == 200
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", app.http)) as plain,
        pytest.raises(ssl.SSLError, match="protocol version"),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_who_has_gone_before_he_is_taken_ends_nothing(app: App, files: tuple[str, str]) -> None:
    """He has said something and hung up while the app did something else: here it is stopped."""
    assert app.process
    app.process.send_signal(signal.SIGSTOP)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", app.http)) as gone:
            gone.sendall(b"anything")
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    app.process.send_signal(signal.SIGCONT)
    assert synod(app, "status", ca=files[1])[0] == 0


def test_without_descriptors_it_waits_until_there_are(app: App, files: tuple[str, str]) -> None:
    assert app.process
    pid, what = app.process.pid, resource.RLIMIT_NOFILE
    has = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = next(number for number in range(len(has) + 1) if number not in has)
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (free, before[1]))
    with socket.create_connection(("127.0.0.1", app.http)) as waiting:
        assert select.select([waiting], [], [], 1.0)[0] == [], "it isn't hung up on"
        resource.prlimit(pid, what, before)
        assert synod(app, "status", ca=files[1])[0] == 0


def test_elsewhere_without_tls_the_app_ends_and_says_what_to_do(app: App) -> None:
    done = ended(app.config, "--wsapi-host", "0.0.0.0", *app.arguments())
    assert done.returncode == 2
    assert "HTTP at 0.0.0.0 would be read by others on the way" in done.stderr
