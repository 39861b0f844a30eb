"""Who the services of a local fleet are, and what is logged of them."""

import yaml

from fleetlb_cli.local import admitting, kubernetes
from fleetlb_cli.local.admitting import MANAGER, STATUS, WATCHER
from fleetlb_cli.rights.granting import rights_of


def test_each_service_has_its_own_account_with_the_rules_of_its_files() -> None:
    for account in (MANAGER, STATUS, WATCHER):
        subject, *granted = admitting.objects_of(account)
        assert subject["kind"] == "ServiceAccount"
        rules = [rule for item in granted for rule in item.get("rules", ())]
        files = [rights_of(file) for file in account.roles.values()]
        assert rules == [rule for rights in files for rule in (*rights.cluster, *rights.namespace)]
        bound = [whom for item in granted for whom in item.get("subjects", ())]
        assert {(whom["name"], whom["namespace"]) for whom in bound} == {(account.name, account.namespace)}


def test_a_watcher_that_joins_as_elsewhere_does_not_meet_the_fleets_own() -> None:
    assert WATCHER.namespace != "fleetlb-system"
    names = [item["metadata"]["name"] for item in admitting.objects_of(WATCHER) if item["kind"].startswith("Cluster")]
    assert set(names) == {"fleetlb-local-tenant-watcher"}


def test_requests_of_the_services_are_logged_and_of_nobody_else() -> None:
    policy = yaml.safe_load(kubernetes.audit_policy_text(admitting.AUDITED))
    assert policy["rules"] == [
        {
            "level": "Metadata",
            "userGroups": ["system:serviceaccounts:fleetlb-system", "system:serviceaccounts:fleetlb-local"],
        },
        {"level": "None"},
    ]
    assert "ResponseStarted" not in policy["omitStages"], "a watch may last longer than whoever asks for it"
