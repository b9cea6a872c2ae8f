# What the Accepted condition says of a policy.
from collections.abc import Sequence

from virtwatch_api.place import CLUSTER_PREFIX
from virtwatch_api.policy import PolicyKey
from virtwatch_api.problem import Problem, ProblemReason
from virtwatch_operator.conditions import Finding, fails, holds

ACCEPTED = "Accepted"
_MAX_PROBLEMS = 8


def accepted(generation: int) -> Finding:
    """Say that a generation is in force."""
    return holds(ACCEPTED, "Valid", f"Generation {generation} is valid and in force.")


def refused(problems: Sequence[Problem], *, generation: int, in_force: int | None) -> Finding:
    """Say what is wrong, field by field, and what stays in force; Invalid outweighs NotImplemented."""
    reasons = {problem.reason for problem in problems}
    reason = ProblemReason.INVALID if ProblemReason.INVALID in reasons else ProblemReason.NOT_IMPLEMENTED
    # Numbered, for a sentence may hold a semicolon too.
    numbered = [f"({number}) {problem}" for number, problem in enumerate(problems, 1)]
    said = str(problems[0]) if len(problems) == 1 else " ".join(numbered[:_MAX_PROBLEMS])
    more = f" and {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
    return fails(ACCEPTED, reason.value, f"{said}{more}. {_stays(generation, in_force)}")


def rejected_by_server(said: str, *, generation: int, in_force: int | None) -> Finding:
    """Say that the API server refused the ThresholdSet."""
    return fails(
        ACCEPTED, "Refused", f"The API server refuses its ThresholdSet: {said}. {_stays(generation, in_force)}"
    )


def name_reserved(key: PolicyKey, *, generation: int) -> Finding:
    """Say that a policy's name is one of those under which the ClusterMonitorPolicies' ThresholdSets stand."""
    kept = (
        f'Names that begin with "{CLUSTER_PREFIX}" are reserved in namespace {key.namespace}, where the ThresholdSets'
    )
    return fails(
        ACCEPTED,
        "NameReserved",
        f"{kept} of ClusterMonitorPolicies are; give the policy another name. {_stays(generation, None)}",
    )


def _stays(generation: int, in_force: int | None) -> str:
    if in_force is None:
        return f"Nothing is in force until generation {generation} is mended."
    return f"Generation {in_force} stays in force until generation {generation} is mended."
