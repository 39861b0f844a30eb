import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import structlog

from fleetlb.kube.credentials import RENEW_EVERY_SECONDS, Credentials
from fleetlb.kube.kubeconfig import KubeconfigUnusable, Loaded


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def loaded(
    token: str | None,
    renew: Callable[[], Awaitable[str]] | None = None,
    hook: Callable[[Any], Any] | None = None,
) -> Loaded:
    keys = {"BearerToken": token} if token else {}
    configuration: Any = SimpleNamespace(api_key=keys, refresh_api_key_hook=hook)
    return Loaded(configuration, renew)


def credentials(
    first: Loaded, *later: Loaded | KubeconfigUnusable, clock: Callable[[], float] = lambda: 0.0
) -> Credentials:
    rest = list(later)

    async def reload() -> Loaded:
        following = rest.pop(0)
        if isinstance(following, KubeconfigUnusable):
            raise following
        return following

    return Credentials(first, reload, fixed={"Accept": "json"}, clock=clock)


async def test_headers_are_computed_once() -> None:
    subject = credentials(loaded("Bearer a"))
    assert await subject.headers() == {"Accept": "json", "Authorization": "Bearer a"}
    assert await subject.headers() is await subject.headers()


async def test_without_a_token_only_the_fixed_ones() -> None:
    assert await credentials(loaded(None)).headers() == {"Accept": "json"}


async def test_the_hook_runs_each_time_and_its_token_is_used() -> None:
    tokens = iter(["Bearer a", "Bearer b\n"])

    def hook(configuration: Any) -> None:
        configuration.api_key["BearerToken"] = next(tokens)

    subject = credentials(loaded("Bearer old", hook=hook))
    assert [(await subject.headers())["Authorization"] for _ in range(2)] == ["Bearer a", "Bearer b"]


async def test_a_failing_hook_keeps_the_old_token() -> None:
    def hook(configuration: Any) -> None:
        raise OSError("token file is gone")

    subject = credentials(loaded("Bearer old", hook=hook))
    with structlog.testing.capture_logs() as logs:
        assert (await subject.headers())["Authorization"] == "Bearer old"
    assert logs[0]["problem"] == "token file is gone"


async def test_a_loader_is_asked_once_a_minute() -> None:
    tokens = iter(["Bearer b", "Bearer c"])

    async def renew() -> str:
        return next(tokens)

    clock = Clock()
    subject = credentials(loaded("Bearer a", renew), clock=clock)
    seen = []
    for step in (0.0, RENEW_EVERY_SECONDS - 1, 1.0, 1.0, RENEW_EVERY_SECONDS):
        clock.now += step
        seen.append((await subject.headers())["Authorization"][-1])
    assert seen == ["a", "a", "b", "b", "c"]


async def test_others_go_on_while_one_waits_for_a_slow_loader() -> None:
    release = asyncio.Event()

    async def renew() -> str:
        await release.wait()
        return "Bearer new"

    clock = Clock()
    subject = credentials(loaded("Bearer old", renew), clock=clock)
    clock.now += RENEW_EVERY_SECONDS
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(subject.headers())
        await asyncio.sleep(0)
        assert (await subject.headers())["Authorization"] == "Bearer old"
        release.set()
    assert slow.result()["Authorization"] == "Bearer new"


async def test_a_failing_loader_keeps_the_old_token() -> None:
    async def renew() -> str:
        raise KubeconfigUnusable("plugin is gone")

    clock = Clock()
    subject = credentials(loaded("Bearer old", renew), clock=clock)
    clock.now += RENEW_EVERY_SECONDS
    with structlog.testing.capture_logs() as logs:
        assert (await subject.headers())["Authorization"] == "Bearer old"
    assert logs[0]["problem"] == "plugin is gone"


async def test_after_a_refusal_the_credentials_are_read_anew() -> None:
    subject = credentials(loaded("Bearer a"), loaded("Bearer b"))
    refused = await subject.headers()
    assert await subject.reload(refused) is True
    assert (await subject.headers())["Authorization"] == "Bearer b"


async def test_and_only_once_for_all_who_were_refused() -> None:
    subject = credentials(loaded("Bearer a"), loaded("Bearer b"))
    refused = await subject.headers()
    assert list(await asyncio.gather(subject.reload(refused), subject.reload(refused))) == [True, True]


async def test_the_same_credentials_again_are_no_hope() -> None:
    subject = credentials(loaded("Bearer a"), loaded("Bearer a"))
    assert await subject.reload(await subject.headers()) is False


async def test_unreadable_credentials_are_no_hope_either() -> None:
    subject = credentials(loaded("Bearer a"), KubeconfigUnusable("half written"))
    with structlog.testing.capture_logs() as logs:
        assert await subject.reload(await subject.headers()) is False
    assert logs[0]["problem"] == "half written"
