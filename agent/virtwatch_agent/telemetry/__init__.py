"""What the agent tells an OpenTelemetry backend: VM metrics as kept messages, events, spans, and its own metrics."""

from virtwatch_agent.telemetry.agent_telemetry import AgentTelemetry

__all__ = ["AgentTelemetry"]
