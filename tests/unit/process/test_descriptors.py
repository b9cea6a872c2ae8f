"""The limit of open files, in a process of its own."""

import subprocess
import sys

CHILD = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (62, min(hard, 2000) if hard > 0 else 2000))
from virtwatch_process.descriptors import raise_descriptor_limit
print(raise_descriptor_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_the_soft_limit_is_raised_to_the_hard_one():
    said = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout
    limit, soft = said.split()
    assert limit == soft
    assert int(soft) > 62
