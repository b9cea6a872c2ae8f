"""The sentence of an alert that a rule's author writes: a template with names in braces, as `{target}`."""

import re
from collections.abc import Mapping

from virtwatch_api.names import did_you_mean, shown

NAMES = ("target", "namespace", "node", "policy", "rule", "severity", "signal", "device", "value", "bound", "count")
MAX_LENGTH = 512
# For the API server too: braces hold known names, and nothing else holds braces.
TEMPLATE = r"^([^{}]|[{](" + "|".join(NAMES) + r")[}])*$"
_TEMPLATE = re.compile(TEMPLATE, re.DOTALL)
_NAME = re.compile(r"\{([^{}]*)\}")


def template_problem(template: str) -> str | None:
    """Say what in a template is no known name in braces."""
    if _TEMPLATE.fullmatch(template):
        return None
    for name in _NAME.findall(template):
        if name not in NAMES:
            return f"knows no {{{shown(name)}}}; known here: {', '.join(NAMES)}{did_you_mean(name, NAMES)}"
    return "holds a brace without a name in it; write names in braces, as in {target}"


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill a template in; a name without a value leaves nothing."""
    return _NAME.sub(lambda found: values.get(found[1], ""), template)
