import subprocess
import sys

_WITHOUT_AN_ENDPOINT = """
import sys, time
from virtwatch_agent.telemetry import AgentTelemetry
from virtwatch_telemetry import set_up
AgentTelemetry(set_up("virtwatch", resource_attributes={}, env={}), time)
print([name for name in ("opentelemetry.sdk", "google.protobuf", "requests") if name in sys.modules])
"""


def test_without_an_endpoint_not_even_the_exporting_libraries_are_loaded():
    ran = subprocess.run([sys.executable, "-c", _WITHOUT_AN_ENDPOINT], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
