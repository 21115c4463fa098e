"""To which span of the program a start belongs. An edge module."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def trace_headers() -> Mapping[str, str]:
    """`traceparent`, and `tracestate` if there is one, of the span that the caller is in.

    Nothing in a program that has not imported OpenTelemetry: it makes no spans, and should not pay
    for the import.
    """
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from perdure.runtime.tracing import current_headers

    return current_headers()
