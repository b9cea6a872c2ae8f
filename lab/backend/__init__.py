"""A real OTLP backend: Jaeger with its page."""
