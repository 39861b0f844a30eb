"""What running processes say of themselves over HTTP. Adapters."""

import asyncio
import http.client
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from fleetlb.domain.errors import Transient
from fleetlb_cli.local.probes import Probe, get
from fleetlb_cli.sysdump.parts import File, Part

PAGES = ("healthz", "readyz", "metrics")
HTTP_SECONDS = 5.0


def process_parts(places: Mapping[str, str]) -> list[Part]:
    """Of processes by name, each at a URL that has no path."""
    return [Part(f"{name} /{page}", partial(_page, name, url, page)) for name, url in places.items() for page in PAGES]


def named_places(urls: tuple[str, ...]) -> dict[str, str]:
    """Processes that are named by where they answer. Raises ValueError."""
    found = {}
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"{url[:80]}: write http://HOST:PORT")
        found[parts.netloc.rpartition("@")[2]] = url.rstrip("/")
    return found


async def _page(name: str, url: str, page: str) -> list[File]:
    folder = "".join(each if each.isalnum() or each in "-." else "-" for each in name)
    try:
        status, body = await asyncio.to_thread(get, Probe(url=f"{url}/{page}", timeout=HTTP_SECONDS))
    except (http.client.HTTPException, ValueError) as problem:
        raise Transient(f"{url}/{page}: {problem}") from problem
    content = body if status == http.HTTPStatus.OK else b"%d\n%s" % (status, body)
    return [File(f"processes/{folder}/{page}.txt", content)]
