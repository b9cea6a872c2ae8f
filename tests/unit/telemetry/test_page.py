"""The page shows the process's metrics as Prometheus names them."""

from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from virtwatch_telemetry.page import Page


def shown(fill) -> list[str]:
    page = Page()
    provider = MeterProvider([page.reader], shutdown_on_exit=False)
    fill(provider.get_meter("test"))
    registry = CollectorRegistry()
    registry.register(page)
    text = generate_latest(registry).decode().splitlines()
    provider.shutdown()
    return [line for line in text if not line.startswith("#") and "_created" not in line]


def test_a_counter_is_a_total_with_its_labels():
    def fill(meter):
        counter = meter.create_counter("virtwatch.events", unit="{event}", description="Events.")
        counter.add(2, {"outcome": "created"})
        counter.add(1, {"k8s.kind": "Node"})

    assert sorted(shown(fill)) == [
        'virtwatch_events_total{k8s_kind="",outcome="created"} 2.0',
        'virtwatch_events_total{k8s_kind="Node",outcome=""} 1.0',
    ]


def test_a_histogram_has_cumulative_buckets_and_its_unit():
    def fill(meter):
        histogram = meter.create_histogram("virtwatch.delay", unit="s", explicit_bucket_boundaries_advisory=[1, 5])
        for seconds in (0.5, 2, 9):
            histogram.record(seconds)

    assert shown(fill) == [
        'virtwatch_delay_seconds_bucket{le="1"} 1.0',
        'virtwatch_delay_seconds_bucket{le="5"} 2.0',
        'virtwatch_delay_seconds_bucket{le="+Inf"} 3.0',
        "virtwatch_delay_seconds_count 3.0",
        "virtwatch_delay_seconds_sum 11.5",
    ]


def test_what_goes_up_and_down_is_a_gauge():
    assert shown(lambda meter: meter.create_up_down_counter("virtwatch.waiting").add(-3)) == ["virtwatch_waiting -3.0"]
