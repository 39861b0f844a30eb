"""Subjects that a tenant could try, by what they aim at; {good} is another tenant's account, {S} its stream.

Must not know what comes of them.
"""

_OTHERS = """
fleetlb.v1.observed.{good}.c1.service.u1 fleetlb.v1.reported.{good}.c1.service.u1 fleetlb.v1.resync.{good}.c1
fleetlb.v1.renewal.{good}.credentials fleetlb.v1.credentials.{good} fleetlb.v1.snapshot.{good}
observed.{good}.c1.service.u1 reported.{good}.c1.service.u1 resync.{good}.c1 renewal.{good}.credentials
credentials.{good} snapshot.{good} {good} {good}.observed.c1.service.u1
"""
_HUBS = """
fleetlb.v1.desired.default.192-0-2-1_80_tcp fleetlb.v1.realized.default.node-1.192-0-2-1_80_tcp
fleetlb.v1.realized.default.node-1.node fleetlb.v1.released.{good}.c1.service.u1 fleetlb.v1.parked.{good}.1
fleetlb.v1.events.{good}.c1 fleetlb.v1.events.good.serving fleetlb.v1.events.evil.address-released
fleetlb.v1.events._fleet.node-lost fleetlb.v1.told.good.u1 fleetlb.v1.told._fleet.default.node-1
events.good.serving events.serving told.good.u1 desired.default.192-0-2-1_80_tcp realized.default.node-1.node parked.x.1
fleetlb.v1.observed.{evil}.c1.service.u1 fleetlb.v1.snapshot.{evil} fleetlb.v1.credentials.{evil}
fleetlb.v1.reported.{evil}.c1.service.u1 fleetlb.v1.plan.services fleetlb.v1.plan.pool plan.services plan.pool
"""
_WILD = """
> * *.> *.*.*.*.*.*.* fleetlb.v1.events.> fleetlb.v1.events.*.* fleetlb.v1.told.> fleetlb.v1.plan.> events.>
fleetlb.> fleetlb.v1.> fleetlb.v1.*.{good}.> fleetlb.*.observed.> observed.>
observed.*.service.* reported.> resync.* snapshot.* snapshot.> credentials.> $*.> $>
"""
_JETSTREAM = """
$JS.> $JS.API.> $JS.API.INFO $JS.API.STREAM.NAMES $JS.API.STREAM.LIST $JS.API.STREAM.INFO.{S}
$JS.API.STREAM.CREATE.MINE $JS.API.STREAM.UPDATE.{S} $JS.API.STREAM.PURGE.{S} $JS.API.STREAM.DELETE.{S}
$JS.API.STREAM.MSG.GET.{S} $JS.API.STREAM.MSG.DELETE.{S} $JS.API.STREAM.SNAPSHOT.{S}
$JS.API.STREAM.RESTORE.{S} $JS.API.STREAM.PEER.REMOVE.{S} $JS.API.STREAM.LEADER.STEPDOWN.{S}
$JS.API.META.LEADER.STEPDOWN $JS.API.DIRECT.GET.{S}
$JS.API.DIRECT.GET.{S}.fleetlb.v1.observed.{good}.c1.service.u1 $JS.API.CONSUMER.CREATE.{S}
$JS.API.CONSUMER.CREATE.{S}.c.fleetlb.> $JS.API.CONSUMER.DURABLE.CREATE.{S}.c $JS.API.CONSUMER.NAMES.{S}
$JS.API.CONSUMER.MSG.NEXT.{S}.c $JS.API.CONSUMER.DELETE.{S}.c $JS.API.CONSUMER.INFO.{S}.c
$JS.API.STREAM.INFO.FLEETLB_EVENTS $JS.API.STREAM.MSG.GET.FLEETLB_EVENTS $JS.API.STREAM.PURGE.FLEETLB_EVENTS
$JS.API.CONSUMER.CREATE.FLEETLB_EVENTS.c.fleetlb.v1.events.> $JS.API.CONSUMER.MSG.NEXT.FLEETLB_EVENTS.c
$JS.API.STREAM.PURGE.FLEETLB_TOLD
$JS.API.SERVER.REMOVE $JS.API.ACCOUNT.PURGE.{good} $JS.API.ACCOUNT.PURGE.{hub} $JS.ACK.>
$JS.ACK.{S}.c.1.1.1.1.1 $JS.ACK.{hub}.{S}.c.1.1.1.1.1 $JS.FC.> $JS.FC.{S}.c.x $JS.EVENT.>
$JS.EVENT.ADVISORY.STREAM.DELETED.{S} $JS.hub.API.INFO $JS.{hub}.API.STREAM.INFO.{S}
$JS.API.fleetlb.v1.observed.{good}.c1 JS.{hub}.> $KV.> $KV.fleetlb.a $O.> $O.fleetlb.C.a
"""
_SYSTEM = """
$SYS.> $SYS.REQ.CLAIMS.UPDATE $SYS.REQ.CLAIMS.LIST $SYS.REQ.CLAIMS.DELETE $SYS.REQ.CLAIMS.PACK
$SYS.REQ.ACCOUNT.{good}.CLAIMS.UPDATE $SYS.REQ.ACCOUNT.{good}.CLAIMS.LOOKUP $SYS.REQ.ACCOUNT.{good}.CONNZ
$SYS.REQ.ACCOUNT.{good}.SUBSZ $SYS.REQ.ACCOUNT.{good}.INFO $SYS.REQ.ACCOUNT.{hub}.JSZ
$SYS.REQ.ACCOUNT.PING.JSZ $SYS.REQ.ACCOUNT.PING.CONNZ $SYS.REQ.ACCOUNT.PING.SUBSZ $SYS.REQ.ACCOUNT.PING.STATZ
$SYS.REQ.ACCOUNT.PING.INFO $SYS.REQ.SERVER.PING $SYS.REQ.SERVER.PING.VARZ $SYS.REQ.SERVER.PING.ACCOUNTZ
$SYS.REQ.SERVER.PING.CONNZ $SYS.REQ.SERVER.PING.KICK $SYS.REQ.USER.INFO $SYS.ACCOUNT.{good}.CONNECT
$SYS.ACCOUNT.{good}.> $SYS.DEBUG.SUBSCRIBERS $SYS.SERVER.> $SRV.> $SRV.PING $SRV.INFO $SRV.STATS $NRG.> $GR.>
$LDS.> $MQTT.> $G.> $GNR.> $RPE.> _R_.> _GR_.> _INBOX.> _INBOX.*.* _INBOX.{good}.1 __inbox.>
"""
_ODD = [
    "observed..service.u1", ".observed.c1.service.u1", "observed.", "observed", ".", "..", "observed.c1.service.",
    "observed.é.service.ü", "observed.\N{CYRILLIC SMALL LETTER ES}1.service.u1", "observed.c1.service.\x00",
    "observed.c1.service.\x7f\x1b[31m", "observed/../fleetlb", "observed.%2e%2e.service", "OBSERVED.C1.SERVICE.U1",
    "observed.c1.service.\u202e", "observed." + ".".join("a" * 253), "observed." + ".".join("a" * 254),
    "observed." + "a" * 4000, "observed." + ".".join("a" * 1900), "observed." + "a" * 5000, "x" * 100_000,
]  # fmt: skip
FAMILIES = {
    "of another tenant": _OTHERS.split(),
    "of the hub": _HUBS.split(),
    "wildcards": _WILD.split(),
    "odd": _ODD,
    "of JetStream": _JETSTREAM.split(),
    "of the system": _SYSTEM.split(),
}
