"""What is read from an audit log, and which rights are then said to be unused."""

import json
from pathlib import Path
from typing import Any

from fleetlb_cli.local.admitting import Account
from fleetlb_cli.rights.granting import Rights
from tests.stage.rights_used import Record, Right, lacking, rights_in, unused

WHO = Account(name="fleetlb-x", namespace="home", roles={})
NAMED = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"], "verbs": ["get"]}
PLAIN = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}


def line(verb: str, name: str, namespace: str = "home", decision: str = "allow", **more: str) -> str:
    event: dict[str, Any] = {
        "kind": "Event",
        "level": "Metadata",
        "verb": verb,
        "user": {"username": "system:serviceaccount:home:fleetlb-x", "groups": []},
        "objectRef": {"resource": "secrets", "namespace": namespace, "name": name, "apiVersion": "v1", **more},
        "annotations": {"authorization.k8s.io/decision": decision},
    }
    return json.dumps(event) + "\n"


def recorded(folder: Path, *lines: str) -> Record:
    (folder / "clusters" / "acme").mkdir(parents=True)
    (folder / "clusters" / "acme" / "audit.log").write_text("".join(lines))
    return Record().read(folder)


def left(record: Record, *, cluster: tuple[Any, ...] = (), namespace: tuple[Any, ...] = ()) -> list[Right]:
    return unused(rights_in(WHO, [Rights(cluster=cluster, namespace=namespace)]), record.uses)


def test_a_right_that_is_used(tmp_path: Path) -> None:
    record = recorded(tmp_path, line("get", "a"), '{"half')
    assert not left(record, namespace=(NAMED,))
    assert not record.refused


def test_a_verb_a_name_or_a_subresource_that_nobody_asked_for(tmp_path: Path) -> None:
    record = recorded(tmp_path, line("get", "c"), line("list", "a"), line("get", "a", subresource="status"))
    (right,) = left(record, namespace=(NAMED,))
    assert str(right) == "fleetlb-x: get secrets. named a, b in its namespace"


def test_a_right_everywhere_that_a_narrower_one_makes_needless(tmp_path: Path) -> None:
    here = recorded(tmp_path / "here", line("get", "a"))
    assert [right.is_everywhere for right in left(here, cluster=(PLAIN,), namespace=(NAMED,))] == [True]
    there = recorded(tmp_path / "there", line("get", "a"), line("get", "a", namespace="elsewhere"))
    assert not left(there, cluster=(PLAIN,), namespace=(NAMED,))


def test_a_right_without_names_that_one_with_names_makes_needless(tmp_path: Path) -> None:
    record = recorded(tmp_path, line("get", "a"))
    assert [bool(right.names) for right in left(record, namespace=(PLAIN, NAMED))] == [False]


def test_what_was_refused_is_no_use(tmp_path: Path) -> None:
    record = recorded(tmp_path, line("get", "a", decision="forbid"))
    assert left(record, namespace=(NAMED,))


def test_a_refusal_is_a_lack_unless_some_right_says_otherwise(tmp_path: Path) -> None:
    record = recorded(tmp_path, line("get", "a", decision="forbid"), line("get", "c", decision="forbid"))
    (use,) = lacking(rights_in(WHO, [Rights(cluster=(), namespace=(NAMED,))]), record.refused)
    assert use.name == "c"
