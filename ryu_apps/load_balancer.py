"""The Ryu app: OpenFlow events go to the core, the core's effects go to the switches. No decision
is taken here.

    ryu-manager ryu_apps.load_balancer

The cluster's file is that of the environment variable SYNOD_CONFIG, or /etc/synod/cluster.yaml.
Unless told otherwise (`--wsapi-host`), HTTP listens on the loopback address only; elsewhere over
TLS only, by the files that SYNOD_HTTP_CERT and SYNOD_HTTP_KEY name. Orders need the
token in the file of SYNOD_TOKEN_FILE, or /etc/synod/token. OpenFlow is over TLS, by the keys that
`ryu-manager` is given, if the cluster's file has `ssl:` controllers.

An exception that comes out of the core is an error in this program: it is logged, and the process
ends, to be started again by whoever runs it. Flows stay, agents notice, and the new process finds
the cluster as it was.
"""

import logging
import os
import random
import sys
import time
from collections.abc import Iterable
from typing import Any, NoReturn

from ryu import cfg
from ryu.app.wsgi import WSGIApplication
from ryu.base.app_manager import RyuApp
from ryu.controller import ofp_event
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub
from ryu.ofproto import ofproto_v1_3 as ofp

from agents import config_token
from agents.config import DEFAULT_PATH, Cluster, ConfigErrors, load
from agents.wire import ports
from ryu_apps import api, api_sessions, https, log, page, tls
from ryu_apps.admission import Admission, TurnedAway
from ryu_apps.core import events
from ryu_apps.core.controller import Controller
from ryu_apps.core.limits import Meter
from ryu_apps.core.moments import Moment
from ryu_apps.core.orders import Method, Order, Refusal
from ryu_apps.core.pipeline import Table
from ryu_apps.core.status import happenings, history, status
from ryu_apps.exposition import Exposition
from ryu_apps.openflow import Encoder
from ryu_apps.receiving import Take, sift
from ryu_apps.sending import Connection

TICK = 0.05  # seconds
BREATH = 0.002  # seconds until a switch that is behind is looked at again

cfg.CONF.set_default("wsapi_host", "127.0.0.1")
sift()
log.begin()


class LoadBalancer(RyuApp):
    """The shell around `ryu_apps.core.controller`."""

    OFP_VERSIONS = (ofp.OFP_VERSION,)
    _CONTEXTS = {"wsgi": WSGIApplication}  # noqa: RUF012 - Ryu's own way of asking for it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cluster = _load()
        self.controller = Controller(self._cluster, random.getrandbits(32))
        self._encoder = Encoder(
            (unit.id for unit in self._cluster.units), self._cluster.session_table
        )
        self._connections: dict[Any, Connection] = {}  # by Ryu's datapath
        self._present: dict[int, Connection] = {}  # by unit
        self._numbers = 0
        self._admission = Admission(config_token.path())
        self._wsgi = kwargs["wsgi"]
        https.listen()
        tls.listen(lambda address, why: self._warn("tls_refused", address=address, why=why))
        api.serve(self._wsgi, self._doors())
        api_sessions.serve(self._wsgi, self.controller, self._do)
        page.serve(self._wsgi)

    def start(self) -> None:
        """Called by Ryu once all apps are loaded."""
        super().start()
        api.refuse_the_rest(self._wsgi)
        self._do(self.controller.start(time.monotonic()))
        if fault := self._admission.fault():
            self._warn("orders_refused", detail=fault)
        self.threads.append(hub.spawn(self._tick))

    def _doors(self) -> api.Doors:
        """What the API asks."""
        core = self.controller
        return api.Doors(
            status=lambda: status(core, moment()),
            events=lambda after: happenings(core, moment(), after),
            history=lambda: history(core, moment()),
            metrics=Exposition(core, time.monotonic).expose,
            admit=self._admit,
            give=self._give,
        )

    # -- Ryu's events

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def on_state(self, event: Any) -> None:
        """A switch has connected, or a connection has ended."""
        if event.state == MAIN_DISPATCHER:
            self._connected(event.datapath)
        elif connection := self._connections.pop(event.datapath, None):
            connection.close()
            if self._present.get(connection.unit) is connection:
                del self._present[connection.unit]
            self._handle(events.Lost(connection.unit, connection.number))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet_in(self, event: Any) -> None:
        """A flow has sent a frame to the app."""
        message = event.msg
        if connection := self._connections.get(message.datapath):
            if message.table_id == Table.LOOK:
                self._handle(_marked(connection, message))
                return
            port = message.match["in_port"]
            self._handle(events.FrameIn(connection.unit, connection.number, port, message.data))

    @set_ev_cls(ofp_event.EventOFPFlowStatsReply, MAIN_DISPATCHER)
    def on_flow_stats(self, event: Any) -> None:
        """A switch tells of its flows, in one or several parts."""
        message = event.msg
        connection = self._connections.get(message.datapath)
        if connection is None:
            return
        unit, number = connection.unit, connection.number
        if message.xid == events.COUNT_TOKEN:
            for flow in message.body:
                self._handle(events.Counted(unit, number, flow.cookie, flow.packet_count))
            return
        if message.xid & events.QUESTION:
            self._handle(events.Looked(unit, number, message.xid, _seen(message.body)))
            return
        connection.cookies.update(flow.cookie for flow in message.body)
        if not message.flags & ofp.OFPMPF_REPLY_MORE:
            cookies, connection.cookies = frozenset(connection.cookies), set()
            meters, connection.meters = frozenset(connection.meters), set()
            self._handle(events.StaticFlows(unit, number, message.xid, cookies, meters))

    @set_ev_cls(ofp_event.EventOFPMeterConfigStatsReply, MAIN_DISPATCHER)
    def on_meters(self, event: Any) -> None:
        """A switch tells which meters it has; its flows come after them."""
        if connection := self._connections.get(event.msg.datapath):
            connection.meters.update(
                Meter(each.meter_id, sum(band.rate for band in each.bands))
                for each in event.msg.body
            )

    @set_ev_cls(ofp_event.EventOFPMeterStatsReply, MAIN_DISPATCHER)
    def on_meter_stats(self, event: Any) -> None:
        """A switch tells what its meters have dropped, in one or several parts."""
        if connection := self._connections.get(event.msg.datapath):
            packets = {
                each.meter_id: sum(band.packet_band_count for band in each.band_stats)
                for each in event.msg.body
            }
            self._handle(events.Metered(connection.unit, connection.number, packets))

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def on_barrier(self, event: Any) -> None:
        """A switch has done all that it was told."""
        if connection := self._connections.get(event.msg.datapath):
            self._handle(events.Confirmed(connection.unit, connection.number, event.msg.xid))

    @set_ev_cls(ofp_event.EventOFPEchoReply, MAIN_DISPATCHER)
    def on_echo(self, event: Any) -> None:
        """A switch answers a ping."""
        if connection := self._connections.get(event.msg.datapath):
            self._handle(events.Pong(connection.unit, connection.number))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def on_error(self, event: Any) -> None:
        """A switch has refused a message."""
        message = event.msg
        if connection := self._connections.get(message.datapath):
            detail = f"type {message.type} code {message.code}"
            self._handle(events.Refused(connection.unit, connection.number, message.xid, detail))

    # -- the core

    def _connected(self, datapath: Any) -> None:
        unit = ports.unit_of(datapath.id, self._cluster.group)
        if unit is None:
            self._warn("datapath_stranger", datapath=f"{datapath.id:016x}")
            return
        certified = getattr(datapath.socket, "unit", None)  # of one over TLS
        if certified not in (None, unit):
            self._warn("certificate_mismatch", unit=unit, certificate=certified)
            hub.spawn(datapath.close)  # not here: it waits until there is room for its event
            return
        self._numbers += 1
        connection = Connection(unit, self._numbers, datapath)
        self._connections[datapath] = self._present[unit] = connection
        self._handle(events.Connected(unit, connection.number))
        datapath.socket.take = self._taking(connection)

    def _taking(self, connection: Connection) -> Take:
        """What is given the agent's frames of a connection."""

        def take(frames: list[bytes]) -> None:
            while connection.behind:
                hub.sleep(BREATH)
            while not self.events.empty():  # with what the switch has said before
                hub.sleep(0)
            self._handle(events.FramesIn(connection.unit, connection.number, frames))

        return take

    def _tick(self) -> None:
        while self.is_active:
            self._handle(events.Tick())
            due = time.monotonic() + TICK
            hub.sleep(TICK)
            if time.monotonic() > due + TICK:
                # Kept from its work: what switches have said waits to be read, or else the app
                # would take them for silent.
                hub.sleep(TICK)

    def _handle(self, event: events.Event) -> None:
        try:
            self._do(self.controller.handle(event, time.monotonic()))
        except Exception:
            self._end(type(event).__name__)

    def _admit(self, authorization: str, address: str) -> None:
        try:
            self._admission.admit(authorization)
        except TurnedAway as error:
            self._warn("order_turned_away", code=error.code, address=address)
            raise

    def _warn(self, outcome: str, **fields: object) -> None:
        self._do(self.controller.journal.warn(time.monotonic(), outcome, **fields))

    def _give(self, order: Order | Method) -> None:
        try:
            self._do(self.controller.give(order, time.monotonic()))
        except Refusal:
            raise
        except Exception:
            self._end(type(order).__name__)

    def _do(self, effects: Iterable[events.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, events.Line):
                log.write(effect)
            elif connection := self._present.get(effect.unit):
                connection.send(self._encoder.encode(effect))

    def _end(self, where: str) -> NoReturn:
        log.bug(where)
        logging.shutdown()
        os._exit(os.EX_SOFTWARE)


def moment() -> Moment:
    """Now, by both clocks."""
    return Moment(time.monotonic(), time.time())


def _marked(connection: Connection, message: Any) -> events.Marked:
    """A packet that the app itself has put in: the tuple is behind a header without options."""
    mark = message.match.get("ct_mark", 0)  # OVS leaves a mark of 0 out
    return events.Marked(connection.unit, connection.number, message.data[26:38], mark)


def _seen(flows: Iterable[Any]) -> events.Seen | None:
    for flow in flows:
        seconds = flow.duration_sec + flow.duration_nsec / 1e9
        return events.Seen(flow.packet_count, flow.byte_count, seconds)
    return None


def _load() -> Cluster:
    path = os.environ.get("SYNOD_CONFIG", DEFAULT_PATH)
    try:
        cluster = load(path)
    except ConfigErrors as error:
        print(f"{path}:\n{error}", file=sys.stderr)
        raise SystemExit(2) from error
    if faults := "\n".join(filter(None, (tls.fault(cluster.tls), https.fault()))):
        print(faults, file=sys.stderr)
        raise SystemExit(2)
    return cluster
