def trace_id(traceparent: str) -> str:
    """Return the trace id of a W3C traceparent, empty where there is none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 else ""
