"""OpenFlow over TLS at the app: who isn't verified has no say, and of others nothing is lost."""

import errno
import random
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

import ryu.base.app_manager  # noqa: F401 - before the controller: see ryu_apps.tls
from eventlet.greenio import GreenSocket
from ryu import cfg
from ryu.controller import controller
from ryu.lib import hub

from agents.config_tls import Keys
from ryu_apps import tls
from ryu_apps.receiving import Sieve
from ryu_apps.tls import Tls
from tests.unit.tls_peer import Both, Peer, greeted, switch_context


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both.made(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Another cluster's."""
    return Both.made(tmp_path_factory.mktemp("others"))


@dataclass(slots=True)
class Pair:
    """Both ends of a connection."""

    ours: Tls
    theirs: Peer


@pytest.fixture
def pair(keys: Both) -> Iterator[Pair]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as other,
        listener.accept()[0] as one,
    ):
        peer = Peer(GreenSocket(other), switch_context(keys.switch))
        yield Pair(greeted(GreenSocket(one), peer, keys), peer)


class TestReading:
    def test_many_small_messages_are_one_block(self, pair: Pair) -> None:
        sealed = [pair.theirs.sealed(bytes((number,)) * 100) for number in range(100)]
        pair.theirs.socket.sendall(b"".join(sealed))
        block = pair.ours.recv(1 << 14)
        assert block == b"".join(bytes((number,)) * 100 for number in range(100))

    def test_no_more_than_is_asked_for_and_nothing_is_lost(self, pair: Pair) -> None:
        chance = random.Random(7)
        data = chance.randbytes(300_000)
        pieces = [data[at : at + 777] for at in range(0, len(data), 777)]
        wire = b"".join(map(pair.theirs.sealed, pieces))

        def dribble() -> None:
            at = 0
            while at < len(wire):
                length = chance.choice((1, 5, 100, 5000))
                pair.theirs.socket.sendall(wire[at : at + length])
                at += length
                hub.sleep(0)

        writing = hub.spawn(dribble)
        found = b""
        while len(found) < len(data):
            most = chance.choice((8, 1000, 1 << 14))
            part = pair.ours.recv(most)
            assert 0 < len(part) <= most
            found += part
        writing.wait()
        assert found == data

    @pytest.mark.parametrize("says_so", [True, False])
    def test_the_end_is_an_end(self, pair: Pair, says_so: bool) -> None:
        pair.theirs.socket.sendall(pair.theirs.sealed(b"last"))
        if says_so:
            pair.theirs.socket.sendall(pair.theirs.farewell())
        pair.theirs.socket.shutdown(socket.SHUT_WR)
        assert [pair.ours.recv(100) for _ in range(3)] == [b"last", b"", b""]

    def test_what_was_changed_on_the_way_is_not_read(self, pair: Pair) -> None:
        sealed = bytearray(pair.theirs.sealed(b"\x04\x00\x00\x08\x00\x00\x00\x01"))
        sealed[-1] ^= 1
        pair.theirs.socket.sendall(pair.theirs.sealed(b"good") + sealed)
        # The records' numbers are in their seals: these came in another order than they were made.
        with pytest.raises(ConnectionError, match="decryption failed or bad record mac"):
            pair.ours.recv(100)
        with pytest.raises(ConnectionError):
            pair.ours.recv(100)

    def test_what_came_before_that_is_read_and_then_ryus_loop_ends(self, pair: Pair) -> None:
        echo = b"\x04\x02\x00\x08\x00\x00\x00\x01"
        pair.theirs.socket.sendall(pair.theirs.sealed(echo) + b"\x17\x03\x03\x00\x04evil")
        assert pair.ours.recv(100) == echo
        datapath = controller.Datapath(Sieve(pair.ours), ("switch", 0))
        with hub.Timeout(5):
            datapath._recv_loop()


class TestShutdown:
    def test_it_says_farewell(self, pair: Pair) -> None:
        pair.ours.sendall(b"last")
        pair.ours.shutdown(socket.SHUT_WR)
        assert pair.theirs.recv() == b"last"
        assert pair.theirs.over
        with pytest.raises(OSError, match="shutdown"):
            pair.ours.sendall(b"more")

    def test_not_into_what_is_being_written(self, pair: Pair) -> None:
        data = bytes(10_000_000)
        writing, found = hub.spawn(pair.ours.sendall, data), b""
        hub.sleep(0)  # it has written a part, and waits
        while not room(pair.ours):
            found += pair.theirs.now()
        assert pair.ours.send_at_once(b"more") == (b"more", False)
        pair.ours.shutdown(socket.SHUT_RD)
        while len(found) < len(data):
            found += pair.theirs.recv()
        writing.wait()
        assert found == data

    def test_not_into_what_is_left(self, pair: Pair) -> None:
        data = bytes(10_000_000)
        assert pair.ours.send_at_once(data) == (b"", True)
        found = b""
        while not room(pair.ours):
            found += pair.theirs.now()
        assert pair.ours.send_at_once(b"more") == (b"more", False)
        pair.ours.shutdown(socket.SHUT_RD)
        writing = hub.spawn(pair.ours.sendall, b"last")
        while len(found) < len(data) + 4:
            found += pair.theirs.recv()
        writing.wait()
        assert found == data + b"last"


def room(ours: Tls) -> bool:
    """Would the socket take more?"""
    return bool(select.select((), (ours.fd,), (), 0)[1])


@dataclass(slots=True)
class Server:
    """Ryu's server as the app has it, on a port of its own."""

    port: int
    served: list[Any] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def connect(self) -> Any:
        """A connection to it."""
        found = GreenSocket(socket.socket())
        found.connect(("127.0.0.1", self.port))
        return found

    def wait(self, what: Callable[[], Any]) -> None:
        """Until that is so."""
        with hub.Timeout(5):
            while not what():
                hub.sleep(0.01)


@pytest.fixture
def options() -> Iterator[Callable[..., None]]:
    """Sets Ryu's options as its command line would."""
    names = ("ctl_privkey", "ctl_cert", "ca_certs")

    def given(*files: str | None) -> None:
        for name, value in zip(names, files, strict=True):
            cfg.CONF.set_override(name, value)

    yield given
    for name in names:
        cfg.CONF.clear_override(name)


@pytest.fixture
def server(
    keys: Both, options: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    options(keys.app.key, keys.app.certificate, keys.app.ca)
    monkeypatch.setattr(controller, "StreamServer", None)
    found = Server(0)
    tls.listen(lambda address, why: found.refused.append((address, why)))
    made = controller.StreamServer(
        ("127.0.0.1", 0), lambda it, _address: found.served.append(it), keyfile="as Ryu gives it"
    )
    found.port = made.server.getsockname()[1]
    running = hub.spawn(made.serve_forever)
    yield found
    hub.kill(running)
    made.server.close()


def refusal(server: Server) -> str:
    """Why somebody was turned away, and that he was."""
    server.wait(lambda: server.refused)
    ((address, why),) = server.refused
    assert (address, server.served) == ("127.0.0.1", [])
    return why


class TestWhoIsLetIn:
    def test_a_switch_of_this_cluster(self, server: Server, keys: Both) -> None:
        peer = Peer(server.connect(), switch_context(keys.switch))
        peer.greet()
        server.wait(lambda: server.served)
        assert isinstance(server.served[0], Tls)
        assert server.refused == []

    def test_not_one_without_a_certificate(self, server: Server, keys: Both) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(keys.switch.ca)
        Peer(server.connect(), context).greet()  # it is refused by what it reads next (TLS 1.3)
        assert refusal(server) == "peer did not return a certificate"

    def test_not_one_of_another_ca(self, server: Server, keys: Both, others: Both) -> None:
        stranger = replace(others.switch, ca=keys.switch.ca)
        peer = Peer(server.connect(), switch_context(stranger))
        peer.greet()
        assert refusal(server) == "its certificate isn't good: self-signed certificate"
        with pytest.raises(ssl.SSLError, match="alert unknown ca"):
            peer.recv()

    def test_not_one_that_takes_the_app_for_anothers(self, server: Server, others: Both) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            Peer(server.connect(), switch_context(others.switch)).greet()
        assert refusal(server) == "tlsv1 alert unknown ca"

    @pytest.mark.parametrize(
        "said", [b"\x04\x00\x00\x08\x00\x00\x00\x01", b"GET / HTTP/1.0\r\n\r\n"]
    )
    def test_not_one_without_tls_and_it_is_told_nothing(self, server: Server, said: bytes) -> None:
        plain = server.connect()
        plain.sendall(said)
        heard = plain.recv(1000)
        assert heard[:1] in (b"", b"\x15"), "a TLS alert at most"
        assert plain.recv(1000) == b""
        assert refusal(server).startswith("not TLS: ")

    def test_not_one_that_says_nothing(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tls, "GREETING", 0.1)
        silent = server.connect()
        assert refusal(server) == "no greeting within 0.1 s"
        assert silent.recv(100) == b""

    def test_not_one_that_hangs_up(self, server: Server) -> None:
        server.connect().close()
        assert refusal(server) == "it has hung up"

    def test_not_one_of_old_versions(self, server: Server, keys: Both) -> None:
        context = switch_context(keys.switch)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError, match="protocol version"):
            Peer(server.connect(), context).greet()
        assert refusal(server) == "unsupported protocol"

    def test_others_that_are_slow_hold_up_nobody_until_they_are_too_many(
        self, server: Server, keys: Both, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tls, "MOST_GREETING", 3)
        silent = [server.connect() for _ in range(2)]
        Peer(server.connect(), switch_context(keys.switch)).greet()
        server.wait(lambda: server.served)
        silent += [server.connect(), server.connect()]
        server.wait(lambda: server.refused)
        assert server.refused == [("127.0.0.1", "3 others are being greeted")]
        for each in silent:
            each.close()

    def test_no_room_for_a_connection_is_waited_for(
        self, server: Server, keys: Both, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accept, full = GreenSocket.accept, [errno.EMFILE, errno.ECONNABORTED]

        def sometimes(self: Any) -> Any:
            found = accept(self)
            if full:
                raise OSError(full.pop(), "no room")
            return found

        monkeypatch.setattr(GreenSocket, "accept", sometimes)
        gone = [server.connect() for _ in range(2)]
        server.wait(lambda: not full)
        Peer(server.connect(), switch_context(keys.switch)).greet()
        server.wait(lambda: server.served)
        for each in gone:
            each.close()


def test_without_keys_connections_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "StreamServer", None)
    tls.listen(lambda *_: None)
    served: list[Any] = []
    made = controller.StreamServer(("127.0.0.1", 0), lambda it, _: served.append(it))
    running = hub.spawn(made.serve_forever)
    with socket.create_connection(made.server.getsockname()):
        with hub.Timeout(5):
            while not served:
                hub.sleep(0.01)
        assert isinstance(served[0], GreenSocket)
    hub.kill(running)
    made.server.close()


class TestFault:
    """What is said of how `ryu-manager` was started."""

    def test_as_it_should_be(self, options: Callable[..., None], keys: Both) -> None:
        options(keys.app.key, keys.app.certificate, keys.app.ca)
        assert tls.fault(wanted=True) == ""
        options(None, None, None)
        assert tls.fault(wanted=False) == ""

    def test_no_keys_for_ssl_controllers(self, options: Callable[..., None]) -> None:
        options(None, None, None)
        assert "start ryu-manager with --ofp-ssl-listen-port" in tls.fault(wanted=True)

    def test_keys_for_tcp_controllers(self, options: Callable[..., None], keys: Both) -> None:
        options(keys.app.key, keys.app.certificate, keys.app.ca)
        assert "controllers are tcp, and ryu-manager has keys" in tls.fault(wanted=False)

    @pytest.mark.parametrize("wanted", [True, False])
    def test_without_a_ca_anybody_would_be_let_in(
        self, options: Callable[..., None], keys: Both, wanted: bool
    ) -> None:
        options(keys.app.key, keys.app.certificate, None)
        assert tls.fault(wanted) == "OpenFlow over TLS needs --ca-certs, too"

    def test_a_key_that_others_read(
        self, options: Callable[..., None], keys: Both, tmp_path: Path
    ) -> None:
        key = tmp_path / "key.pem"
        key.write_bytes(Path(keys.app.key).read_bytes())
        key.chmod(0o640)
        given = Keys(str(key), keys.app.certificate, keys.app.ca)
        options(given.key, given.certificate, given.ca)
        assert "others than its owner can read it (mode 640)" in tls.fault(wanted=True)
