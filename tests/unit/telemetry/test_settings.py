import pytest

from virtwatch_telemetry.settings import Compression, Signal, read_settings


def test_without_an_endpoint_nothing_has_a_destination():
    assert read_settings({}).destinations == {}


def test_the_base_endpoint_gets_a_path_for_each_signal():
    settings = read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/base/"})
    assert {signal: item.url for signal, item in settings.destinations.items()} == {
        Signal.TRACES: "http://collector:4318/base/v1/traces",
        Signal.METRICS: "http://collector:4318/base/v1/metrics",
        Signal.LOGS: "http://collector:4318/base/v1/logs",
    }


def test_an_endpoint_of_one_signal_is_taken_as_it_is_and_turns_on_that_signal_alone():
    settings = read_settings({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces/in"})
    assert [item.url for item in settings.destinations.values()] == ["https://traces/in"]


def test_a_disabled_sdk_exports_nothing():
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "True"}
    assert read_settings(env).destinations == {}


def test_an_exporter_of_none_turns_its_signal_off_without_a_remark():
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_LOGS_EXPORTER": "none"}
    settings = read_settings(env)
    assert set(settings.destinations) == {Signal.TRACES, Signal.METRICS}
    assert settings.remarks == ()


def test_the_variable_of_one_signal_wins_over_the_general_one():
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "1.5",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "deflate",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x,team=a",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "team=b",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/client.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/client.key",
    }
    destinations = read_settings(env).destinations
    metrics, logs = destinations[Signal.METRICS], destinations[Signal.LOGS]
    assert (metrics.timeout, logs.timeout) == (1.5, 3.0)
    assert (metrics.compression, logs.compression) == (Compression.DEFLATE, Compression.NONE)
    assert metrics.headers == (("team", "b"),)
    assert dict(logs.headers) == {"authorization": "Bearer x", "team": "a"}
    assert (logs.certificate, logs.client_certificate, logs.client_key) == ("/ca.pem", "/client.pem", "/client.key")


def test_bodies_are_gzipped_unless_the_user_says_otherwise():
    settings = read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    assert {item.compression for item in settings.destinations.values()} == {Compression.GZIP}


def test_the_export_interval_is_read_in_milliseconds():
    assert read_settings({"OTEL_METRIC_EXPORT_INTERVAL": "15000"}).metric_interval == 15.0
    assert read_settings({}).metric_interval == 60.0


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4318",
            (
                'OTEL_EXPORTER_OTLP_ENDPOINT "collector:4318" is no http or https URL; '
                "write for example http://collector:4318"
            ),
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL grpc is not supported; set it to http/protobuf "
                "and point the endpoint at the collector's HTTP port, 4318 by default"
            ),
        ),
        (
            "OTEL_METRICS_EXPORTER",
            "prometheus",
            'OTEL_METRICS_EXPORTER "prometheus" is not supported; use otlp or none',
        ),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "soon",
            'OTEL_EXPORTER_OTLP_TIMEOUT "soon" is no number of seconds above 0; 10 is used',
        ),
        (
            "OTEL_EXPORTER_OTLP_COMPRESSION",
            "zstd",
            'OTEL_EXPORTER_OTLP_COMPRESSION "zstd" is not known; gzip is used (others are none and deflate)',
        ),
        (
            "OTEL_METRIC_EXPORT_INTERVAL",
            "-5",
            'OTEL_METRIC_EXPORT_INTERVAL "-5" is no number of milliseconds above 0; 60000 is used',
        ),
    ],
)
def test_a_wrong_setting_is_answered_by_one_sentence_that_says_what_to_write(name, value, sentence):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"} | {name: value}
    assert read_settings(env).remarks == (sentence,)


def test_messages_never_show_a_password_in_the_endpoint():
    env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://me:secret@collector/v1/traces?token=secret"}
    (destination,) = read_settings(env).destinations.values()
    assert destination.shown == "https://collector/v1/traces"
