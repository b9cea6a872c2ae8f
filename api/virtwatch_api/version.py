"""The API group, and which of its versions can be read: this one, and whatever comes after it."""

import re
from typing import Any

GROUP = "virtwatch.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
_VERSION = re.compile(r"^v[1-9][0-9]{0,3}((alpha|beta)[1-9][0-9]{0,3})?$")  # none of them comes before v1alpha1


def readable(api_version: Any) -> bool:
    """Return whether an object's apiVersion is of the group, in this version or a later one."""
    if not isinstance(api_version, str):
        return False
    group, _, version = api_version.partition("/")
    return group == GROUP and _VERSION.fullmatch(version) is not None
