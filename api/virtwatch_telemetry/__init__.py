# Shared set-up of OpenTelemetry for agent, operator and command.
from virtwatch_telemetry.events import EventLogger
from virtwatch_telemetry.providers import Providers, set_up

__all__ = ["EventLogger", "Providers", "set_up"]
