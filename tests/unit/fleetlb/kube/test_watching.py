"""The reflector against a scripted API server, one fault each."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import prometheus_client
import pytest
import structlog

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import StoreWentBack
from fleetlb.kube.pausing import Pause
from fleetlb.kube.resources import Resource
from fleetlb.kube.watching import Reflector, WatchTiming
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.scripted_kube import Hang, Json, Reply, Reset, ScriptedKube, Watch, refusal


class Gadget(msgspec.Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta
    size: int = 0


GADGETS = Resource("example.dev", "v1", "gadgets", Gadget)
ALL = "/apis/example.dev/v1/gadgets"
FAST = Pause(initial=0.01, cap=0.05)
Told = list[tuple[str, str, str, int]]


def item(name: str = "a", version: str = "1", *, uid: str = "u", size: Any = 0) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": version, "managedFields": [{}]}
    return {"apiVersion": "example.dev/v1", "kind": "Gadget", "metadata": metadata, "size": size}


def page(*items: dict[str, Any], token: str = "", version: str = "5") -> Json:
    return Json({"metadata": {"resourceVersion": version, "continue": token}, "items": list(items)})


def initial(*items: dict[str, Any], version: str = "5") -> Watch:
    """A WatchList's beginning: the full set and its end."""
    watch = Watch()
    for each in items:
        watch.send("ADDED", each)
    return watch.bookmark(version, end=True)


class View:
    """A running reflector and everything that it told."""

    def __init__(self, cluster: Cluster, timing: WatchTiming, **options: Any) -> None:
        self.told: Told = []
        self.reflector = Reflector(cluster, GADGETS, on_set=self._note("set"), on_gone=self._note("gone"), **options)
        self.reflector.timing = timing

    def _note(self, verb: str) -> Callable[[Gadget], None]:
        def note(gadget: Gadget) -> None:
            self.told.append((verb, gadget.metadata.name, gadget.metadata.uid, gadget.size))

        return note

    def told_of(self, *expected: tuple[str, str]) -> Callable[[], bool]:
        return lambda: [entry[:2] for entry in self.told] == list(expected)


@contextlib.asynccontextmanager
async def watching(cluster: Cluster, **options: Any) -> AsyncIterator[View]:
    timing = options.pop("timing", WatchTiming(pause=FAST))
    view = View(cluster, timing, **options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(view.reflector.run())
        yield view
        assert not task.done(), "a reflector never ends"
        task.cancel()


async def test_a_full_set_then_changes(kube: ScriptedKube, cluster: Cluster) -> None:
    watch = Watch().send("ADDED", item("a")).send("ADDED", item("b"))
    kube.on("WATCH", ALL, watch)
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a"), ("set", "b")))
        assert not view.reflector.synced.is_set()
        watch.bookmark("5", end=True)
        await asyncio.wait_for(view.reflector.synced.wait(), 5)
        watch.send("MODIFIED", item("a", "6", size=2)).send("DELETED", item("b", "7")).send("ADDED", item("c", "8"))
        await eventually(lambda: len(view.told) == 5)
        assert view.told[2:] == [("set", "a", "u", 2), ("gone", "b", "u", 0), ("set", "c", "u", 0)]
        assert {key: gadget.size for key, gadget in view.reflector.objects.items()} == {("ns", "a"): 2, ("ns", "c"): 0}
    (request,) = kube.requests
    assert 240 <= int(request.query["timeoutSeconds"]) <= 300
    assert {key: value for key, value in request.query.items() if key != "timeoutSeconds"} == {
        "watch": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }


async def test_selectors_and_namespace(kube: ScriptedKube, cluster: Cluster) -> None:
    path = "/apis/example.dev/v1/namespaces/ns/gadgets"
    kube.on("WATCH", path, initial())
    options = {"label_selector": "a in (b)", "field_selector": "metadata.name=a", "namespace": "ns"}
    async with watching(cluster, **options) as view:
        await asyncio.wait_for(view.reflector.synced.wait(), 5)
    query = kube.sent("WATCH", path)[0].query
    assert (query["labelSelector"], query["fieldSelector"]) == ("a in (b)", "metadata.name=a")


async def test_a_clean_end_resumes_from_the_last_version(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(item()).send("MODIFIED", item("a", "6")).end(), Watch().bookmark("9").end(), Watch())
    async with watching(cluster):
        await eventually(lambda: len(kube.requests) == 3)
    assert [request.query.get("resourceVersion") for request in kube.requests] == [None, "6", "9"]
    assert "sendInitialEvents" not in kube.requests[1].query


async def test_the_same_version_again_is_not_told(kube: ScriptedKube, cluster: Cluster) -> None:
    watch = initial(item("a", "1")).send("ADDED", item("a", "1")).send("ADDED", item("b", "2"))
    kube.on("WATCH", ALL, watch)
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a"), ("set", "b")))


@pytest.mark.parametrize("by", ["event", "answer"])
async def test_an_expired_version_fetches_the_full_set_and_finds_what_was_missed(
    kube: ScriptedKube, cluster: Cluster, by: str
) -> None:
    expired: Reply = Watch().error(410, "Expired") if by == "event" else refusal(410, "Expired")
    kube.on("WATCH", ALL, initial(item("a"), item("b")).end(), expired, initial(item("b"), item("c")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a"), ("set", "b"), ("set", "c"), ("gone", "a")))
        assert set(view.reflector.objects) == {("ns", "b"), ("ns", "c")}
    assert kube.requests[2].query.get("resourceVersion") is None


async def test_a_namesake_made_in_the_gap_is_a_new_object(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(item(uid="u1")).error(410), initial(item(uid="u2")))
    async with watching(cluster) as view:
        await eventually(lambda: len(view.told) == 3)
        assert [entry[:3] for entry in view.told] == [("set", "a", "u1"), ("gone", "a", "u1"), ("set", "a", "u2")]


async def test_a_broken_full_set_deletes_nothing(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on(
        "WATCH", ALL,
        initial(item("a"), item("b")).error(410),
        Watch().send("ADDED", item("a")).cut(),
        Watch().send("ADDED", item("a")).end(),
        Watch().send("ADDED", item("a")).error(500),
        initial(item("b")),
    )  # fmt: skip
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a"), ("set", "b"), ("gone", "a")))
        assert len(kube.requests) == 5


async def test_lines_may_be_split_anywhere(kube: ScriptedKube, cluster: Cluster) -> None:
    watch = initial()
    kube.on("WATCH", ALL, watch)
    async with watching(cluster) as view:
        await asyncio.wait_for(view.reflector.synced.wait(), 5)
        line = msgspec.json.encode({"type": "ADDED", "object": item("é" * 50, "6")}) + b"\n"
        for start in range(0, len(line), 3):
            watch.raw(line[start : start + 3])
        await eventually(view.told_of(("set", "é" * 50)))
        watch.raw(b"\n" + line.replace(b'"6"', b'"7"') + line.replace(b'"6"', b'"8"'))
        await eventually(lambda: len(view.told) == 3)


async def test_a_huge_line(kube: ScriptedKube, cluster: Cluster) -> None:
    huge = item("a")
    huge["metadata"]["annotations"] = {"x": "y" * 10 * 2**20}
    kube.on("WATCH", ALL, initial(huge))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a")))


async def test_an_error_event_resumes(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(version="5").error(500, "InternalError"), Watch().send("ADDED", item("a", "6")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a")))
    assert kube.requests[1].query["resourceVersion"] == "5"


async def test_a_line_of_nonsense_resumes(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial().raw(b"<html>\n"), Watch().send("ADDED", item("a", "6")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a")))


async def test_an_unknown_type_of_event_is_passed_over(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial().send("RENAMED", item("x")).send("ADDED", item("a", "6")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a")))


async def test_one_object_that_cannot_be_read_is_skipped_counted_and_logged_once(
    kube: ScriptedKube, cluster: Cluster
) -> None:
    def count() -> float:
        labels = {"resource": "gadgets.example.dev"}
        return prometheus_client.REGISTRY.get_sample_value("fleetlb_reflector_undecodable_total", labels) or 0.0

    before = count()
    watch = initial(item("a"), item("bad", size="large"), item("b"))
    watch.send("MODIFIED", item("bad", "6", size=[])).send("MODIFIED", item("a", "7", size={})).bookmark("8")
    kube.on("WATCH", ALL, watch)
    with structlog.testing.capture_logs() as logs:
        async with watching(cluster) as view:
            await eventually(lambda: count() == before + 3)
            watch.send("MODIFIED", item("a", "9", size=9))
            await eventually(lambda: len(view.told) == 3)
            assert view.told == [("set", "a", "u", 0), ("set", "b", "u", 0), ("set", "a", "u", 9)]
    assert [entry["key"] for entry in logs if entry["log_level"] == "error"] == ["ns/bad", "ns/a"]


async def test_an_object_that_becomes_unreadable_is_not_gone(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(item("a"), item("b")).error(410), initial(item("a", "6", size="large"), version="7"))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a"), ("set", "b"), ("gone", "b")))
        assert set(view.reflector.objects) == {("ns", "a")}


async def test_an_unreadable_deletion_is_one(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(item("a")).send("DELETED", item("a", "6", size="large")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a"), ("gone", "a")))


async def test_an_object_without_readable_metadata_is_passed_over(kube: ScriptedKube, cluster: Cluster) -> None:
    watch = initial().send("ADDED", {"metadata": {"name": 7}}).send("DELETED", {"metadata": 7})
    kube.on("WATCH", ALL, watch.send("ADDED", item("a", "6")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a")))


async def test_a_server_without_watch_list_is_listed_by_pages(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, refusal(422, "Invalid", "sendInitialEvents is forbidden"), Watch().error(410), Watch())
    kube.on("GET", ALL, page(item("a"), token="t"), page(item("b")), page(item("b")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a"), ("set", "b"), ("gone", "a")))
        assert view.reflector.synced.is_set()
        await eventually(lambda: len(kube.sent("WATCH")) == 3)
    assert [request.query.get("resourceVersion") for request in kube.sent("WATCH")] == [None, "5", "5"]
    assert [request.query.get("sendInitialEvents") for request in kube.sent("WATCH")] == ["true", None, None]
    assert [request.query.get("continue") for request in kube.sent("GET")] == [None, "t", None]


@pytest.mark.parametrize("busy", [False, True], ids=["silent", "busy"])
async def test_a_server_that_never_marks_the_end_is_listed_by_pages(
    kube: ScriptedKube, cluster: Cluster, busy: bool
) -> None:
    watch = Watch().send("ADDED", item("a")).bookmark("3")
    kube.on("WATCH", ALL, watch, Watch().send("ADDED", item("b", "6")))
    kube.on("GET", ALL, page(item("a")))
    timing = WatchTiming(pause=FAST, initial_silence=0.1, initial_total=0.2)
    async with watching(cluster, timing=timing) as view:
        version = 10
        while not view.reflector.synced.is_set():
            version += 1
            if busy:
                watch.send("MODIFIED", item("a", str(version)))
            await asyncio.sleep(0.01)
        await eventually(lambda: view.told[-1][:2] == ("set", "b"))


async def test_a_page_that_fails_deletes_nothing(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, refusal(400, "BadRequest"), Watch().error(410), Watch())
    kube.on("GET", ALL, page(item("a"), item("b")), page(item("c"), token="t"), refusal(410), page(token="t"), Reset(),
            page(item("b"), item("c")))  # fmt: skip
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a"), ("set", "b"), ("set", "c"), ("gone", "a")))


async def test_watches_that_end_at_once_lead_to_a_full_set_without_a_hot_loop(
    kube: ScriptedKube, cluster: Cluster
) -> None:
    ends = [Watch().end() for _ in range(3)]
    kube.on("WATCH", ALL, initial(item("a")).end(), *ends, initial(item("b"), version="6"))
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with watching(cluster, timing=WatchTiming(pause=Pause(initial=0.04, cap=1.0))) as view:
        await eventually(view.told_of(("set", "a"), ("set", "b"), ("gone", "a")))
    assert len(kube.requests) <= 5
    assert loop.time() - started > 0.02 + 0.04 + 0.08


async def test_a_stalled_watch_is_given_up_and_resumed(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(version="5"), Watch().send("ADDED", item("a", "6")))
    timing = WatchTiming(pause=FAST, server=(0, 0), read_margin=0.1)
    async with watching(cluster, timing=timing) as view:
        await eventually(view.told_of(("set", "a")))
    assert kube.requests[1].query["resourceVersion"] == "5"


async def test_a_watch_that_is_never_answered_is_given_up(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, Hang(), initial(item("a")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a")))


async def test_a_cut_watch_is_resumed(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(version="5").cut(), Watch().send("ADDED", item("a", "6")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a")))
    assert kube.requests[1].query["resourceVersion"] == "5"


async def test_an_absent_server_is_waited_for_with_one_line(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(item("a")), Watch().bookmark("6"))
    await kube.stop()
    with structlog.testing.capture_logs() as logs:
        async with watching(cluster) as view:
            await eventually(lambda: logs)
            assert not view.reflector.synced.is_set()
            await asyncio.sleep(0.1)
            await kube.start()
            await asyncio.wait_for(view.reflector.synced.wait(), 5)
            await kube.stop()
            await eventually(lambda: len(logs) == 3)
            await asyncio.sleep(0.1)
            await kube.start()
            await eventually(lambda: len(logs) == 4)
    events = [entry["event"] for entry in logs]
    assert events == ["watch failed; trying again until it works", "watching again"] * 2
    assert "Connect" in logs[0]["problem"]


@pytest.mark.parametrize("code", [403, 404, 401, 429, 500, 503])
async def test_any_refusal_is_outlived(kube: ScriptedKube, cluster: Cluster, code: int) -> None:
    kube.on("WATCH", ALL, *[refusal(code)] * 4, initial(item("a")))
    async with watching(cluster) as view:
        await eventually(view.told_of(("set", "a")))


async def test_a_callback_that_raises_does_not_hide_the_others(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(item("a"), item("b")))
    told: list[str] = []

    def on_set(gadget: Gadget) -> None:
        if gadget.metadata.name == "a":
            raise ZeroDivisionError
        told.append(gadget.metadata.name)

    with structlog.testing.capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(Reflector(cluster, GADGETS, on_set=on_set, on_gone=print).run())
            await eventually(lambda: told == ["b"])
            task.cancel()
    assert [(entry["event"], entry["key"]) for entry in logs] == [("a callback failed", "ns/a")]


async def test_without_keeping_objects_a_missed_deletion_still_names_it(kube: ScriptedKube, cluster: Cluster) -> None:
    first = initial(item("a", size=7), item("b", size=8)).send("DELETED", item("b", "6", size=8))
    kube.on("WATCH", ALL, first.error(410), initial())
    async with watching(cluster, keep=False) as view:
        await eventually(lambda: len(view.told) == 4)
        assert view.told[2:] == [("gone", "b", "u", 8), ("gone", "a", "u", 0)]
        assert view.reflector.objects == {}


async def test_not_keeping_needs_a_kind_that_metadata_alone_can_make(cluster: Cluster) -> None:
    class Strict(msgspec.Struct):
        metadata: ObjectMeta
        spec: int

    with pytest.raises(msgspec.ValidationError, match="spec"):
        Reflector(cluster, Resource("g", "v1", "x", Strict), on_set=print, on_gone=print, keep=False)


async def test_an_event_is_told_as_soon_as_its_line_is_there(kube: ScriptedKube, cluster: Cluster) -> None:
    watch = initial()
    kube.on("WATCH", ALL, watch)
    async with watching(cluster) as view:
        await asyncio.wait_for(view.reflector.synced.wait(), 5)
        line = msgspec.json.encode({"type": "ADDED", "object": item("b", "7")})
        watch.send("ADDED", item("a", "6")).raw(line)
        await eventually(view.told_of(("set", "a")))
        watch.raw(b"\n")
        await eventually(view.told_of(("set", "a"), ("set", "b")))


@pytest.mark.parametrize("ended", ["end", "error", "cut"])
async def test_a_store_that_went_back_is_not_believed(kube: ScriptedKube, cluster: Cluster, ended: str) -> None:
    """The server would say nothing to who watches from a version that is to come, or fewer objects than there were."""
    second = Watch()
    kube.on("WATCH", ALL, initial(item("a"), version="50").end(), second, initial())
    second.error(410) if ended == "error" else getattr(second, ended)()
    kube.on("VERSION", ALL, page(version="50"), page(version="49"))
    told: list[tuple[str, str]] = []
    reflector = Reflector(
        cluster,
        GADGETS,
        on_set=lambda gadget: told.append(("set", gadget.metadata.name)),
        on_gone=lambda gadget: told.append(("gone", gadget.metadata.name)),
    )
    reflector.timing = WatchTiming(pause=FAST)
    with pytest.raises(StoreWentBack, match="once had version 50, and now has 49"):
        await reflector.run()
    assert told == [("set", "a")]


async def test_nothing_is_watched_before_the_server_says_how_far_its_store_is(
    kube: ScriptedKube, cluster: Cluster
) -> None:
    """A server that has just begun knows of no roles yet, and refuses; the next moment it would let a watch."""
    kube.on("WATCH", ALL, initial(item("a"), version="50").end(), Watch())
    kube.on("VERSION", ALL, refusal(403, "Forbidden"), refusal(403, "Forbidden"), page(version="49"))
    reflector = Reflector(cluster, GADGETS, on_set=lambda gadget: None, on_gone=lambda gadget: None)
    reflector.timing = WatchTiming(pause=FAST)
    with pytest.raises(StoreWentBack, match="once had version 50, and now has 49"):
        await reflector.run()
    assert len(kube.sent("WATCH")) == 1


async def test_a_watch_that_ended_in_time_is_resumed_unasked(kube: ScriptedKube, cluster: Cluster) -> None:
    kube.on("WATCH", ALL, initial(version="50").end(), Watch().send("ADDED", item("a", "51")))
    kube.on("VERSION", ALL, page(version="1"))
    async with watching(cluster, timing=WatchTiming(pause=FAST, server=(0, 5))) as view:
        await eventually(view.told_of(("set", "a")))
    assert not kube.sent("VERSION")
