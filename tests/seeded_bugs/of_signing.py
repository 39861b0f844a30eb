"""Bugs of what is believed by the operator's signature."""

from tests.seeded_bugs.bugs import MANAGER, PROGRAMMER, UNIT, Bug

_SIGNING = "libs/fleetlb/runtime/signing.py"
_INSTRUCTING = f"{MANAGER}/instructing.py"
_HEARD = (f"{UNIT}/fleetlb_dataplane_programmer/test_instructions.py",)
_SAID = (f"{UNIT}/fleetlb_manager/test_instructing.py",)
_READ = (f"{UNIT}/fleetlb/runtime/test_signing.py",)

OF_SIGNING = (
    Bug(
        "fields that nobody signed stand behind a good signature",
        _SIGNING,
        "rb'\"([A-Za-z0-9_-]{86})\"}')",
        "rb'\"([A-Za-z0-9_-]{86}).*\"}')",
        _READ,
    ),
    Bug(
        "a group's nodes follow what nobody signed",
        f"{PROGRAMMER}/reading.py",
        "    return _vouched(GroupInstructed, message, group, operator_key, ",
        '    return _vouched(GroupInstructed, message, group, "", ',
        (*_HEARD, "tests/integration/test_forged_instructions.py"),
    ),
    Bug(
        "a word signed for another group is followed",
        f"{PROGRAMMER}/reading.py",
        "    if subject != message.subject or said.group != group:\n",
        "    if False:\n",
        _HEARD,
    ),
    Bug(
        "a node that restarts forgets what its group was told",
        f"{PROGRAMMER}/instructions.py",
        "            if record.operator_key == self._operator_key:\n",
        "            if False:\n",
        _HEARD,
    ),
    Bug(
        "what was believed unsigned outlives the key",
        f"{PROGRAMMER}/instructions.py",
        "            if record.operator_key == self._operator_key:\n",
        "            if True:\n",
        _HEARD,
    ),
    Bug(
        "the manager signs what routers are told by whoever has written it",
        f"{MANAGER}/folding_messages.py",
        "        if said is not None and said.group == group and self._is_ours(message.data):\n",
        "        if said is not None and said.group == group:\n",
        _SAID,
    ),
    Bug(
        "what somebody else put in the place of a group's word stays",
        _INSTRUCTING,
        "        if is_said and self._memory.instructions.stands(name):\n",
        "        if is_said:\n",
        _SAID,
    ),
    Bug(
        "a node that was away when a drain was taken back is never told",
        _INSTRUCTING,
        "        if known is None and not is_right:\n",
        "        if known is None and (not is_right or not group.spec.draining and group.spec.bgp is None):\n",
        _SAID,
    ),
)
