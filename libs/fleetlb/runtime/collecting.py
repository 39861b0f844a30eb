"""Whether a process sends its spans away, and to whom: the one place that knows of OpenTelemetry's variables.

Nothing of OpenTelemetry is imported unless they ask for it.
"""

from collections.abc import Mapping

from fleetlb.runtime.settings import SettingsError
from fleetlb.runtime.tracing import Sink

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def sink_for(service: str, instance: str, environ: Mapping[str, str]) -> Sink | None:
    """Where spans go as the stock variables say; nowhere, unless they name an exporter or its endpoint.

    Raises SettingsError if they are wanted and OpenTelemetry is not installed.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER", "")
    is_named = exporter == "otlp" or (not exporter and any(environ.get(name) for name in _ENDPOINTS))
    if not is_named or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from fleetlb.runtime.otlp import OtlpSink
    except ImportError as problem:
        text = f"OTEL_TRACES_EXPORTER: spans are sent by OpenTelemetry ({problem}); install fleetlb[tracing]"
        raise SettingsError((text,)) from problem
    return OtlpSink(service, instance, environ)
