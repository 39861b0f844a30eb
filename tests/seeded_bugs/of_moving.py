"""Bugs of how addresses move from one balancer group to another."""

from tests.seeded_bugs.bugs import MANAGER, OF_PROGRAMMER, PROGRAMMER, STATUS, UNIT, Bug

_PLACES = f"{MANAGER}/places.py"
_MOVES = f"{MANAGER}/moves.py"
_STEPS = (f"{UNIT}/fleetlb_manager/test_places.py",)
_MOVED = (f"{UNIT}/fleetlb_manager/test_moving.py",)

OF_MOVING = (
    Bug(
        "an address leaves a group before every object of who has it has gone over",
        _PLACES,
        "    if standing == {there} and target != here:\n",
        "    if there in standing and target != here:\n",
        _STEPS,
    ),
    Bug(
        "an address has left a group before its nodes have let go of it",
        _PLACES,
        '        return replace(spec, moving_to="", moving_back=False, moving_from="") if is_let_go else spec\n',
        '        return replace(spec, moving_to="", moving_back=False, moving_from="")\n',
        (*_STEPS, *_MOVED),
    ),
    Bug(
        "nodes of two groups may answer for an address on layer 2",
        _PLACES,
        "    return group == spec.group and not spec.moving_from\n",
        "    return True\n",
        (*_STEPS, *_MOVED),
    ),
    Bug(
        "nodes answer on layer 2 while those of the other group still let go",
        _PLACES,
        "    return group == spec.group and not spec.moving_from\n",
        "    return group == spec.group\n",
        _STEPS,
    ),
    Bug(
        "an object goes over before the nodes there carry what it has",
        _MOVES,
        "        if missing:\n",
        "        if False:\n",
        _MOVED,
    ),
    Bug(
        "an object goes over to nodes that reach no backend",
        _MOVES,
        "            if unanswered:\n",
        "            if False:\n",
        _MOVED,
    ),
    Bug(
        "the capabilities of the other group are not asked for",
        _MOVES,
        "        if refusal is not None:\n            return f",
        "        if False:\n            return f",
        _MOVED,
    ),
    Bug(
        "the addresses of one Service go to different groups",
        _MOVES,
        "    lack = _scattered(memory, party) if len(wanted) > 1 else _lack(memory, party, named)\n",
        "    lack = _lack(memory, party, named)\n",
        _MOVED,
    ),
    Bug(
        "a release forgets the group that an address was moving to",
        f"{MANAGER}/shares.py",
        "            for group in claim.spec.groups:\n",
        "            for group in (claim.spec.group,):\n",
        _MOVED,
    ),
    Bug(
        "a group is not told what a tenant may have of what moves there",
        f"{MANAGER}/memory.py",
        "        return self.carried.put(key, self.by_group(item.spec) if item is not None else ())\n",
        "        return self.carried.put(key, (item.spec,) if item is not None else ())\n",
        _MOVED,
    ),
    Bug(
        "what a tenant may have on a group is not looked at when the last of a pool has left it",
        f"{MANAGER}/doubting.py",
        "        groups |= {pool.group for pool in change.pools if is_kept(grant, networks, pool)}\n",
        "",
        _MOVED,
    ),
    Bug(
        "what a tenant may have on a group is looked at for each address that leaves it",
        f"{MANAGER}/carried.py",
        "            if not self._having[pool]:\n                del self._having[pool]\n",
        "            if True:\n",
        (*_MOVED, f"{UNIT}/fleetlb_manager/test_carried.py"),
    ),
    Bug(
        "who carries a load balancer is not looked at when a claim moves",
        f"{MANAGER}/folding_objects.py",
        "        if known is None or known.spec.carriers != claim.spec.carriers:\n",
        "        if known is None:\n",
        _MOVED,
    ),
    Bug(
        "a Service that waits for an address of another one is not called when that has come",
        f"{MANAGER}/moving.py",
        "            self._marks.service(service)\n",
        "            pass\n",
        _MOVED,
    ),
    Bug(
        "what nodes said of another wish counts when its object names another group",
        f"{STATUS}/memory.py",
        "    return is_next and is_gone_over and now.spec.says_the_same(replace(before.spec, group=now.spec.group))\n",
        "    return is_next and is_gone_over\n",
        (f"{UNIT}/fleetlb_status/test_memory.py",),
    ),
    Bug(
        "what was found of a virtual server holds for the next one under its key",
        f"{PROGRAMMER}/programming.py",
        "        if isinstance(decision, Apply) and entry is not None and entry.serves(decision.server):\n",
        "        if isinstance(decision, Apply) and entry is not None:\n",
        (f"{OF_PROGRAMMER}/test_programming.py",),
    ),
)
