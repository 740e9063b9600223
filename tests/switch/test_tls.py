"""OpenFlow over TLS between the whole app and a real switch: who is who, and who isn't."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents import doctor_look, machine
from agents.wire import ports
from tests.polling import until
from tests.switch import keys
from tests.switch.app import App, Scene, ended
from tests.switch.ovs import Switch
from tests.switch.units import cluster_of

PATIENCE = 20.0  # seconds; Open vSwitch waits for up to eight between its tries


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    made = App(tmp_path_factory.mktemp("app"), cluster_of(1))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def bridge(switch: Switch, app: App) -> Iterator[str]:
    """A bridge as unit 1's, that has no controller yet."""
    until(lambda: state(app) == "down", "the one before is gone", PATIENCE)
    switch.bridge("tls", ports.datapath_id(1, 1), {"tls-synod": ports.SYNOD})
    yield "tls"
    switch.vsctl("del-br", "tls", "--", "del-ssl")


def refusals(app: App) -> list[str]:
    lines = app.log.read_text().splitlines()
    return [line.partition(" why=")[2] for line in lines if "event=tls_refused" in line]


def state(app: App) -> str:
    found: str = app.unit(1)["state"]
    return found


def test_a_switch_of_another_ca_is_refused_until_it_has_the_right_keys(
    switch: Switch, app: App, bridge: str
) -> None:
    before = len(refusals(app))
    own, anothers = keys.of_unit(1), keys.of_unit(1, "another")
    switch.vsctl("set-ssl", anothers.key, anothers.certificate, own.ca)
    switch.vsctl("set-controller", bridge, app.openflow)
    why = "its certificate isn't good: unable to get local issuer certificate"
    until(lambda: f'"{why}"' in refusals(app)[before:], "it is refused", PATIENCE)
    assert state(app) == "down"
    keys.give(switch, own)
    until(lambda: state(app) == "joining", "its bridge is connected", PATIENCE)


def test_a_unit_with_anothers_key_is_no_unit(switch: Switch, app: App, bridge: str) -> None:
    keys.give(switch, keys.of_unit(2))
    switch.vsctl("set-controller", bridge, app.openflow)
    words = "event=certificate_mismatch unit=1 certificate=2"
    until(lambda: words in app.log.read_text(), "it is refused", PATIENCE)
    assert state(app) == "down"
    keys.give(switch, keys.of_unit(1))
    until(lambda: state(app) == "joining", "its bridge is connected", PATIENCE)


def test_the_doctor_sees_who_is_connected_and_what_is_said_of_the_others(
    switch: Switch, app: App, bridge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "run", lambda argv: switch.vsctl(*argv[1:]))
    assert machine.datapath_type(bridge) == "dummy"
    assert doctor_look.controllers_of(bridge) == ({}, {})
    keys.give(switch, keys.of_unit(1))
    switch.vsctl("set-controller", bridge, app.openflow)
    until(lambda: state(app) == "joining", "its bridge is connected", PATIENCE)
    assert doctor_look.controllers_of(bridge) == ({app.openflow: True}, {})
    plain = f"tcp:127.0.0.1:{app.port}"
    switch.vsctl("set-controller", bridge, plain)
    connected, said = doctor_look.controllers_of(bridge)
    assert connected == {plain: False}
    assert said.keys() <= {plain}


def test_a_controller_of_another_ca_is_refused_by_the_switch(
    switch: Switch, app: App, bridge: str
) -> None:
    before = len(refusals(app))
    own, anothers = keys.of_unit(1), keys.of_unit(1, "another")
    switch.vsctl("set-ssl", own.key, own.certificate, anothers.ca)
    switch.vsctl("set-controller", bridge, app.openflow)
    why = "'tlsv1 alert unknown ca'"
    until(lambda: why in refusals(app)[before:], "it says so", PATIENCE)
    # It tells the app first, and its log then.
    said = "SSL_connect: error:0A000086:SSL routines::certificate verify failed"
    log = switch.dir / "vswitchd.log"
    until(lambda: said in log.read_text(), "the switch's log says so, too", PATIENCE)
    assert state(app) == "down"


def test_a_switch_that_speaks_plain_openflow_is_told_nothing(
    switch: Switch, app: App, bridge: str
) -> None:
    before = len(refusals(app))
    switch.vsctl("set-controller", bridge, f"tcp:127.0.0.1:{app.port}")
    why = "'not TLS: wrong version number'"
    until(lambda: why in refusals(app)[before:], "it is refused", PATIENCE)
    with socket.create_connection(("127.0.0.1", app.port)) as plain:
        plain.sendall(b"\x04\x00\x00\x08\x00\x00\x00\x01")
        assert plain.recv(1000)[:1] in (b"", b"\x15"), "a TLS alert at most"
    assert state(app) == "down"


def test_without_its_keys_the_app_ends_and_says_how_to_start_it(app: App) -> None:
    done = ended(app.config, "ryu_apps.load_balancer")
    assert done.returncode == 2
    assert "start ryu-manager with --ofp-ssl-listen-port 6653 --ctl-privkey" in done.stderr


def test_where_it_may_be_plain_it_is(switch: Switch, tmp_path: Path) -> None:
    with Scene(switch, cluster_of(2, controller="tcp:127.0.0.1:6653"), tmp_path) as scene:
        assert sorted(scene.offer(1, 2).values()) == [1, 2]
