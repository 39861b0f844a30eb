"""The headers that say who we are, computed once and renewed when a token changes.

Three ways a token changes: the library's hook (a pod's token file), an exec or GCP loader whose token expires, and a
kubeconfig file that was rewritten, noticed when the server answers 401. Must not know HTTP beyond header names.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog

from fleetlb.kube.kubeconfig import KubeconfigUnusable, Loaded

RENEW_EVERY_SECONDS = 60.0
"""How often a loader is asked whether its token is about to expire; it looks five minutes ahead."""

_TOKEN = "BearerToken"  # noqa: S105 - the name of a slot in the library's configuration

log = structlog.get_logger(__name__)


class Credentials:
    """Request headers for one cluster."""

    def __init__(
        self,
        loaded: Loaded,
        reload: Callable[[], Awaitable[Loaded]],
        *,
        fixed: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reload` reads the credentials anew; `fixed` headers go with every request."""
        self._loaded = loaded
        self._reload = reload
        self._fixed = dict(fixed)
        self._clock = clock
        self._renewed_at = clock()
        self._renewing = asyncio.Lock()
        self._token = ""
        self._headers: Mapping[str, str] = self._fixed

    async def headers(self) -> Mapping[str, str]:
        """The headers for the next request; the same mapping for as long as the token is the same."""
        if self._loaded.configuration.refresh_api_key_hook is not None:
            self._run_hook()
        elif self._loaded.renew_token is not None and self._is_due():
            await self._renew(self._loaded.renew_token)
        token = self._loaded.configuration.api_key.get(_TOKEN, "")
        if token != self._token:
            self._token = token
            self._headers = {**self._fixed, "Authorization": token.strip()}
        return self._headers

    async def reload(self, refused: Mapping[str, str]) -> bool:
        """After a 401 to these headers: read the credentials anew. True when there are others to try now."""
        async with self._renewing:
            if await self.headers() == refused:
                try:
                    self._loaded = await self._reload()
                except KubeconfigUnusable as problem:
                    log.warning("credentials were refused and cannot be read anew", problem=str(problem))
                self._renewed_at = self._clock()
            return await self.headers() != refused

    def _is_due(self) -> bool:
        # While one request waits for a slow plugin, the others go on with the old token.
        return self._clock() - self._renewed_at >= RENEW_EVERY_SECONDS and not self._renewing.locked()

    async def _renew(self, renew_token: Callable[[], Awaitable[str]]) -> None:
        async with self._renewing:
            self._renewed_at = self._clock()
            try:
                self._loaded.configuration.api_key[_TOKEN] = await renew_token()
            except KubeconfigUnusable as problem:
                log.warning("keeping the old token", problem=str(problem))

    def _run_hook(self) -> None:
        configuration = self._loaded.configuration
        try:
            if configuration.refresh_api_key_hook is not None:
                configuration.refresh_api_key_hook(configuration)
        except Exception as problem:  # the token file is being replaced: the old token is good for minutes yet
            log.warning("keeping the old token", problem=str(problem))
