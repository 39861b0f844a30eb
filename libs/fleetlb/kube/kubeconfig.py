"""From a kubeconfig file or a pod's service account to a client configuration, by kubernetes_asyncio's own loaders.

Why not simply import kubernetes_asyncio: its generated model and API classes cost 32 MB and 0.3 s in every process, and
none of them is used here. Only its configuration and credential loaders are brought in, through empty stand-ins for the
packages around them; the stand-ins leave `sys.modules` at once, so that nobody else ever meets them.

Must not know HTTP: what is done with a configuration is the transport's business.
"""

import functools
import importlib
import importlib.util
import os.path
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from fleetlb.domain.errors import FleetlbError

_LIBRARY = "kubernetes_asyncio"


class KubeconfigUnusable(FleetlbError):
    """Credentials are missing or malformed; the text names the place and the cure."""


class Configuration(Protocol):
    """The part of the library's Configuration that is used."""

    host: str
    api_key: dict[str, str]
    refresh_api_key_hook: Callable[[Any], Any] | None
    verify_ssl: bool
    disable_strict_ssl_verification: bool
    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None
    tls_server_name: str | None
    proxy: str | None


class Loaded(NamedTuple):
    """A configuration, and how its short-lived token is renewed where it has one (exec plugin, GCP)."""

    configuration: Configuration
    renew_token: Callable[[], Awaitable[str]] | None


async def load(kubeconfig: Path | None) -> Loaded:
    """Read a kubeconfig file, or the pod's service account when None. Raises KubeconfigUnusable."""
    try:
        if kubeconfig is None:
            return _load_in_cluster()
        return await _load_file(kubeconfig)
    except KubeconfigUnusable:
        raise
    except Exception as problem:  # the loaders raise whatever the file's contents led them to
        place = kubeconfig or "the pod's service account"
        raise KubeconfigUnusable(f"cannot use {place}: {problem or type(problem).__name__}") from problem


def _load_in_cluster() -> Loaded:
    library = _library()
    configuration = library.configuration()
    library.incluster.load_incluster_config(client_configuration=configuration)
    return Loaded(configuration, None)


async def _load_file(path: Path) -> Loaded:
    if not os.path.isfile(path):  # noqa: ASYNC240 - once, at start
        raise KubeconfigUnusable(f"kubeconfig {path} is not a file: create it or name another one")
    library = _library()
    configuration = library.configuration()
    loader = await library.kube_config.load_kube_config(
        config_file=str(path), client_configuration=configuration, persist_config=False
    )
    renew = None
    if loader.provider == "gcp":
        renew = functools.partial(_renew, loader, loader.load_gcp_token)
    elif loader._user and "exec" in loader._user:
        renew = functools.partial(_renew, loader, loader.load_from_exec_plugin)
    return Loaded(configuration, renew)


async def _renew(loader: Any, step: Callable[[], Awaitable[Any]]) -> str:
    """Let the loader renew its token if it is about to expire; returns the one to use."""
    try:
        await step()
    except Exception as problem:  # a plugin fails in its own ways
        raise KubeconfigUnusable(f"cannot renew the token: {problem or type(problem).__name__}") from problem
    token: str = getattr(loader, "token", "")
    return token


class _Library(NamedTuple):
    configuration: Callable[[], Any]
    kube_config: ModuleType
    incluster: ModuleType


@functools.cache
def _library() -> _Library:
    """The library's loaders as a private copy, without its generated classes."""
    if f"{_LIBRARY}.client" in sys.modules:  # somebody has paid for the whole library already
        return _import_loaders()
    spec = importlib.util.find_spec(_LIBRARY)
    if spec is None or not spec.submodule_search_locations:
        raise KubeconfigUnusable(f"{_LIBRARY} is not installed")
    root = Path(spec.submodule_search_locations[0])
    try:
        _stand_in(_LIBRARY, root)
        client = _stand_in(f"{_LIBRARY}.client", root / "client")
        configuration = importlib.import_module(f"{_LIBRARY}.client.configuration")
        vars(client).update(Configuration=configuration.Configuration, ApiClient=object)
        return _import_loaders()
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == _LIBRARY]:
            del sys.modules[name]


def _stand_in(name: str, folder: Path) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module
    return module


def _import_loaders() -> _Library:
    return _Library(
        importlib.import_module(f"{_LIBRARY}.client.configuration").Configuration,
        importlib.import_module(f"{_LIBRARY}.config.kube_config"),
        importlib.import_module(f"{_LIBRARY}.config.incluster_config"),
    )
