"""What went wrong, in one sentence that says what to do about it. Pure."""

from pathlib import Path

from fleetlb.kube.errors import (
    ApiError,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Undecodable,
)


class Failed(Exception):
    """A command could not do what it was asked for; the text says why, and the cure."""


def sentence_of(problem: ApiError, kubeconfig: Path) -> str:
    """An API server's refusal, for whoever gave the command."""
    said = problem.said or str(problem)
    match problem:
        case NotFound() if problem.reason == "NotFound" and '"' in said:
            return f"{said}: `fleetlb tenant list` shows which tenants there are"
        case NotFound():
            return (
                f"the cluster of {kubeconfig} knows nothing of tenants ({said}): name the management cluster's"
                " kubeconfig with --kubeconfig, or apply deploy/crds there"
            )
        case Forbidden():
            return f"{said}: have this right granted in the management cluster, or use another kubeconfig"
        case Unauthorized():
            return f"the API server does not know the user of {kubeconfig} ({said}): renew the credentials there"
        case Invalid():
            return f"{said}: correct it and try again"
        case TooManyRequests():
            return f"the API server has too much to do ({said}): try again later"
        case Unavailable():
            return (
                f"the API server of {kubeconfig} gives no answer ({said}): see that it runs and is reachable from here"
            )
        case Undecodable():
            return f"{said}: deploy/crds there and this command are of different versions; use the same one"
    return said
