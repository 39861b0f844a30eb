from pathlib import Path

import pytest

from fleetlb.kube.errors import ApiError, Undecodable, error_from, no_verdict
from fleetlb_cli.tenants.failures import sentence_of

WHERE = Path("/home/me/hub.yaml")


def refusal(code: int, reason: str, message: str) -> ApiError:
    body = f'{{"kind": "Status", "reason": "{reason}", "message": "{message}"}}'
    return error_from("GET /apis/fleetlb.dev", code, body.encode())


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (
            refusal(404, "NotFound", 'tenants.fleetlb.dev \\"x\\" not found'),
            'tenants.fleetlb.dev "x" not found: `fleetlb tenant list` shows which tenants there are',
        ),
        (
            error_from("GET /x", 404, b"404 page not found\n"),
            "the cluster of /home/me/hub.yaml knows nothing of tenants",
        ),
        (refusal(403, "Forbidden", "you cannot get it"), "you cannot get it: have this right granted"),
        (refusal(401, "Unauthorized", "Unauthorized"), "the API server does not know the user of /home/me/hub.yaml"),
        (refusal(422, "Invalid", "spec.nodeCIDRs is wrong"), "spec.nodeCIDRs is wrong: correct it"),
        (refusal(429, "TooManyRequests", "later"), "the API server has too much to do (later): try again later"),
        (
            no_verdict("GET /x", OSError("refused")),
            "the API server of /home/me/hub.yaml gives no answer (GET /x: OSError",
        ),
        (
            Undecodable("tenants.fleetlb.dev: odd"),
            "tenants.fleetlb.dev: odd: deploy/crds there and this command are of",
        ),
        (refusal(409, "Conflict", "it changed"), "it changed"),
    ],
)
def test_every_refusal_is_a_sentence_with_a_cure(problem: ApiError, sentence: str) -> None:
    said = sentence_of(problem, WHERE)
    assert said.startswith(sentence)
    assert "\n" not in said
