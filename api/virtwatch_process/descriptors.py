"""Open files: a node of many VMs needs more than the 1,024 that a process may have by default."""

import resource


def raise_descriptor_limit() -> int:
    """Let this process open as many files as it may ever open; return how many, -1 for no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
