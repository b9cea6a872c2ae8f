"""The sentence of an alert that a rule's author writes: a template with names in braces, as `{{target}}`."""

import re
from collections.abc import Mapping

from virtwatch_api.names import did_you_mean

NAMES = ("target", "namespace", "node", "policy", "rule", "severity", "signal", "device", "value", "bound", "count")
MAX_LENGTH = 512
# The same for the API server: text without double braces, and known names within them.
TEMPLATE = r"^([^{]|[{][^{]|[{]{2} *(" + "|".join(NAMES) + r") *[}]{2})*[{]?$"
_TEMPLATE = re.compile(TEMPLATE, re.DOTALL)
_NAME = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def template_problem(template: str) -> str | None:
    """Say what in a template is no known name in double braces."""
    if _TEMPLATE.fullmatch(template):
        return None
    for name in _NAME.findall(template):
        if name not in NAMES:
            return f"knows no {{{{{name}}}}}{did_you_mean(name, NAMES)}; known here: {', '.join(NAMES)}"
    return 'holds "{{" without a name and "}}" after it, as in "{{target}}"'


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill a template in; a name without a value leaves nothing."""
    return _NAME.sub(lambda found: values.get(found[1], ""), template)
