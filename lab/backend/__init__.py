"""A real OTLP backend: Jaeger with its page, and a small in-process receiver for tests of faults."""
