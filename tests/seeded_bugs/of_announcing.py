"""Bugs of who answers for a VIP on layer 2, and of who is said to."""

from tests.seeded_bugs.bugs import DOMAIN, PROGRAMMER, STATUS, UNIT, Bug

_ELECTING = f"{PROGRAMMER}/ownership/electing.py"
_LIVING = f"{PROGRAMMER}/ownership/living.py"
_ANNOUNCEMENTS = f"{STATUS}/announcements.py"
_JUDGED = (f"{UNIT}/fleetlb_status/test_announcements.py",)
_PLAYED = (f"{UNIT}/fleetlb_dataplane_programmer/ownership/test_electing.py",)

_CALLED = (f"{UNIT}/fleetlb_dataplane_programmer/ownership/test_findings.py",)
_FINDING = f"{PROGRAMMER}/layer2/finding.py"
_FOUND = (f"{UNIT}/fleetlb_dataplane_programmer/layer2/test_finding.py",)

OF_ANNOUNCING = (
    Bug(
        "a node whose own link is at fault says that VIPs of others are not reached",
        _FINDING,
        "        is_witnessed = was_refused or await self._is_witnessed(door)\n",
        "        is_witnessed = True\n",
        _FOUND,
    ),
    Bug(
        "a VIP counts as its own witness",
        f"{PROGRAMMER}/ownership/findings.py",
        " if other != door)",
        ")",
        _CALLED,
    ),
    Bug(
        "what was never reached from a node is said to be lost",
        f"{PROGRAMMER}/ownership/findings.py",
        "        if not is_witnessed or vip.announced.node not in self._met:\n",
        "        if not is_witnessed:\n",
        _CALLED,
    ),
    Bug(
        "one lost packet is said to be a lost VIP",
        f"{PROGRAMMER}/ownership/findings.py",
        "        return self.failures >= FAILURES\n",
        "        return self.failures >= 1\n",
        _CALLED,
    ),
    Bug(
        "every node calls every VIP",
        f"{PROGRAMMER}/ownership/duties.py",
        " if first == me else None\n",
        "\n",
        (f"{UNIT}/fleetlb_dataplane_programmer/ownership/test_duties.py",),
    ),
    Bug(
        "all VIPs are called at once",
        _FINDING,
        "        if now < at:\n            return at - now\n",
        "",
        _FOUND,
    ),
    Bug(
        "what was found of an earlier announcement counts for the present one",
        f"{DOMAIN}/reaching.py",
        "        and (each.reached.node, each.reached.term) == (owner.node, owner.since)\n",
        "        and each.reached.node == owner.node\n",
        (f"{UNIT}/fleetlb/domain/test_reaching.py",),
    ),
    Bug(
        "what one node does not reach counts though another does",
        f"{DOMAIN}/reaching.py",
        " for port in each.lost if port not in reached}",
        " for port in each.lost}",
        (f"{UNIT}/fleetlb/domain/test_reaching.py",),
    ),
    Bug(
        "a call that met a failing backend says that an address is not reached",
        f"{STATUS}/reaching.py",
        "    return word.healthy is None or word.healthy == word.real_servers\n",
        "    return True\n",
        _JUDGED,
    ),
    Bug(
        "what a node found that began anew goes on to count",
        f"{STATUS}/group_words.py",
        "        reached=word.reached if presence is not None and presence.word.run == word.run else None,\n",
        "        reached=word.reached,\n",
        _JUDGED,
    ),
    Bug(
        "a caller that is silent goes on to count",
        f"{DOMAIN}/reaching.py",
        "        and each.is_heard\n",
        "",
        (f"{UNIT}/fleetlb/domain/test_reaching.py",),
    ),
    Bug(
        "a node answers before those that did have read that it does",
        _ELECTING,
        "            if self.living.word_of(name).read < needed:\n",
        "            if False:\n",
        _PLAYED,
    ),
    Bug(
        "a node that takes part anew does not wait until that is read",
        _ELECTING,
        "        needed = max(since, standing_since)\n",
        "        needed = since\n",
        _PLAYED,
    ),
    Bug(
        "who was not heard is dead before what he said meanwhile is read",
        _LIVING,
        "        return self.is_alive(name, now) or name in self._pledged\n",
        "        return self.is_alive(name, now)\n",
        _PLAYED,
    ),
    Bug(
        "a lease lasts as long for its holder as for the others",
        _LIVING,
        " - self._me.lease.margin)\n",
        ")\n",
        _PLAYED,
    ),
    Bug(
        "a lease that ended unnoticed goes on",
        _LIVING,
        "        if not self.holds(now):\n            self._lapse()\n        sent",
        "        sent",
        _PLAYED,
    ),
    Bug(
        "a node speaks for another of its group",
        f"{PROGRAMMER}/ownership/taking_part.py",
        "            if message.subject == _subject_of(word, self._group):\n",
        "            if True:\n",
        (f"{UNIT}/fleetlb_dataplane_programmer/ownership/test_taking_part.py",),
    ),
    Bug(
        "a node that was taken out of its group goes on announcing",
        f"{PROGRAMMER}/ownership/taking_part.py",
        "        if self._is_out:\n            return\n",
        "",
        (f"{UNIT}/fleetlb_dataplane_programmer/ownership/test_taking_part.py",),
    ),
    Bug(
        "a node that was taken out of its group keeps its routes",
        f"{PROGRAMMER}/bgp/announcing.py",
        " or is_out(said, self._node)\n",
        "\n",
        (f"{UNIT}/fleetlb_dataplane_programmer/bgp/test_announcing.py",),
    ),
    Bug(
        "what the hub may have forgotten is said again only if it is new",
        f"{PROGRAMMER}/telling.py",
        "        self._told.pop(key, None)\n        self._queue.add(key)\n",
        "        self._queue.add(key)\n",
        (f"{UNIT}/fleetlb_dataplane_programmer/test_telling.py",),
    ),
    Bug(
        "a node that is alive is taken out by mistake",
        "services/cli/fleetlb_cli/node/steps.py",
        "    if is_alive and node not in group.spec.draining and not is_confirmed:\n",
        "    if False:\n",
        (f"{UNIT}/fleetlb_cli/node/test_steps.py",),
    ),
    Bug(
        "a VIP without usable backends stays announced though its tenant wants otherwise",
        f"{PROGRAMMER}/vips.py",
        " and (server.failure_policy is FailurePolicy.CLOSED or not keys):\n",
        " and not keys:\n",
        (f"{UNIT}/fleetlb_dataplane_programmer/test_vips.py",),
    ),
    Bug(
        "a pool that grows keeps the route that it had",
        f"{PROGRAMMER}/bgp/announcing.py",
        "        self._are_routes_stale |= self._carried.get(address, network) != network\n",
        "",
        (f"{UNIT}/fleetlb_dataplane_programmer/bgp/test_announcing.py",),
    ),
    Bug(
        "an address that nobody announces serves",
        _ANNOUNCEMENTS,
        "        if not lack or verdict.serving.status is not Status.TRUE:\n",
        "        if True:\n",
        _JUDGED,
    ),
    Bug(
        "a node that was not heard for long is silent before the hub has said so",
        f"{STATUS}/group_words.py",
        "        if presence is None or (word is not None and word != presence.word):\n",
        "        if presence is None:\n",
        _JUDGED,
    ),
    Bug(
        "a handover between two nodes ends serving",
        _ANNOUNCEMENTS,
        "        meanwhile = lack if key in self._settled else _meanwhile(balancer, lack)\n",
        "        meanwhile = lack\n",
        _JUDGED,
    ),
    Bug(
        "who cannot hear what settles it ends serving",
        f"{STATUS}/following.py",
        "            if self._bus.connected:",
        "            if True:",
        (f"{UNIT}/fleetlb_status/test_following.py",),
    ),
    Bug(
        "words of a stream that is lost count on",
        _ANNOUNCEMENTS,
        "        self._replayed[group] = GroupWords()\n",
        "        self._replayed[group] = self._words.get(group) or GroupWords()\n",
        _JUDGED,
    ),
    Bug(
        "who lost the lease for answering is said to answer",
        f"{DOMAIN}/announcing.py",
        " and each.announced and each.is_heard]\n",
        " and each.announced]\n",
        (f"{UNIT}/fleetlb/domain/test_announcing.py",),
    ),
    Bug(
        "what a node says of another's part in announcing is believed",
        f"{STATUS}/following.py",
        "    if message.subject != subjects.present(group, word.node) or word.group != group:\n",
        "    if False:\n",
        (f"{UNIT}/fleetlb_status/test_following.py",),
    ),
    Bug(
        "by BGP it serves though no router is told",
        "services/status/fleetlb_status/announcements.py",
        "        if self._routers.tellers(group, nodes):\n",
        "        if True:\n",
        (f"{UNIT}/fleetlb_status/test_announcements.py",),
    ),
    Bug(
        "each removal waits anew for a BIRD that hangs",
        f"{PROGRAMMER}/bgp/announcing.py",
        "        if not self._behind:\n            try:\n",
        "        if True:\n            try:\n",
        (f"{UNIT}/fleetlb_dataplane_programmer/bgp/test_announcing.py",),
    ),
    Bug(
        "an address that BIRD may announce still is given up",
        f"{PROGRAMMER}/bgp/announcing.py",
        "            except Transient as problem:\n                self._behind = str(problem)\n",
        "            except Transient:\n                pass\n",
        (f"{UNIT}/fleetlb_dataplane_programmer/bgp/test_announcing.py",),
    ),
    Bug(
        "a node that begins anew while it is emptied tells routers of its VIPs",
        f"{PROGRAMMER}/bgp/announcing.py",
        " if leaves else wanted)\n",
        " if False else wanted)\n",
        (f"{UNIT}/fleetlb_dataplane_programmer/bgp/test_announcing.py",),
    ),
)
