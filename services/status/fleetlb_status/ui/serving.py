"""The page's server: its files, a snapshot, what changes from there on, and one load balancer in full. Reads only."""

from collections.abc import Callable

from aiohttp import web

from fleetlb.runtime.tracing import microseconds
from fleetlb_status.ui.admitting import TurnedAway, admit
from fleetlb_status.ui.answers import NOT_KEPT, answering, as_json
from fleetlb_status.ui.detailing import Detailer
from fleetlb_status.ui.feed import Feed
from fleetlb_status.ui.files import page_files
from fleetlb_status.ui.painting import Painter
from fleetlb_status.ui.pictures import FleetPicture
from fleetlb_status.ui.streaming import stream
from fleetlb_status.ui.surveying import Surveyor
from fleetlb_status.ui.views import View

ROOT = "/ui/"
LAST_EVENT = "Last-Event-ID"


class Page:
    """What requests are answered from."""

    def __init__(
        self,
        feed: Feed,
        painter: Painter,
        surveyor: Surveyor,
        detailer: Detailer,
        *,
        tenant_header: str = "",
        now: Callable[[], int] = microseconds,
    ) -> None:
        """`tenant_header`: which header says whose view it is; empty: everybody is an operator."""
        self._feed = feed
        self._painter = painter
        self._surveyor = surveyor
        self._detailer = detailer
        self._tenant_header = tenant_header
        self._now = now
        self._files = page_files()

    def app(self) -> web.Application:
        """Every route there is; all of them only read."""
        app = web.Application(middlewares=[answering])
        app.router.add_get("/", _to_root)
        app.router.add_get(ROOT.rstrip("/"), _to_root)
        app.router.add_get(f"{ROOT}v1/fleet", self._fleet)
        app.router.add_get(f"{ROOT}v1/changes", self._changes, allow_head=False)
        app.router.add_get(f"{ROOT}v1/services/{{tenant}}/{{uid}}", self._service)
        app.router.add_get(f"{ROOT}{{name:[a-z.]*}}", self._file)
        return app

    def _view(self, request: web.Request) -> View:
        values = request.headers.getall(self._tenant_header, []) if self._tenant_header else []
        return admit(self._tenant_header, values, request.headers.get("Host", ""))

    async def _file(self, request: web.Request) -> web.Response:
        self._view(request)
        file = self._files.get(request.match_info["name"] or "index.html")
        if file is None:
            raise web.HTTPNotFound
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, content_type=file.type, charset="utf-8", headers=headers)

    async def _fleet(self, request: web.Request) -> web.Response:
        view = self._view(request)
        await self._surveyor.refresh()
        # No await from here on: the place in the feed belongs to exactly this picture.
        return as_json(
            FleetPicture(
                id=self._feed.place(self._feed.last),
                at=self._now(),
                tenant=view.tenant,
                services=tuple(self._painter.services(view)),
                things=self._surveyor.things(view),
                recent=self._painter.recent(view),
            )
        )

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        view = self._view(request)
        place = request.headers.get(LAST_EVENT) or request.query.get("after", "")
        headers = NOT_KEPT | {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        with self._feed.reading(view.tenant):
            return await stream(self._feed, view, place, request, headers)

    async def _service(self, request: web.Request) -> web.Response:
        view = self._view(request)
        picture = self._painter.service(view, request.match_info["tenant"], request.match_info["uid"])
        detail = await self._detailer.detail(picture, view) if picture else None
        if detail is None:
            raise TurnedAway(404, "uid", "there is no such load balancer, or it is not yours", "go back to the list")
        return as_json(detail)


async def _to_root(_: web.Request) -> web.Response:
    raise web.HTTPPermanentRedirect(ROOT)
