"""Log lines: one JSON object each on standard output, from our own code and from the libraries alike.

Names as readers of Kubernetes' components expect: `ts`, `level`, `msg`, `logger`, then whatever the line is about.
"""

import logging
import sys
from typing import Any, TextIO

import msgspec
import structlog

from fleetlb.runtime.settings import LogFormat, LogLevel

_QUIET_LIBRARIES = ("aiohttp.access", "asyncio", "nats")


def set_up_logs(service: str, level: LogLevel, log_format: LogFormat, to: TextIO | None = None) -> None:
    """Route every line of this process, structlog's and logging's, through one formatter to standard output.

    `to`: another file, for a command whose output is its answer.
    """
    stream = to or sys.stdout
    severity = logging.getLevelNamesMapping()[level.value.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _naming(service),
    ]
    final = _final(log_format, colors=stream.isatty())
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(severity),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(severity)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(severity, logging.WARNING))


def _naming(service: str) -> Any:
    def add_service(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("service", service)
        return event

    return add_service


def _final(log_format: LogFormat, *, colors: bool) -> list[Any]:
    if log_format is LogFormat.CONSOLE:
        return [structlog.dev.ConsoleRenderer(timestamp_key="ts", colors=colors)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
        structlog.processors.JSONRenderer(serializer=_json),
    ]


def _json(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
