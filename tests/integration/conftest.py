"""Real parts for the integration tests; each is started once, when a test first asks for it."""

from collections.abc import Iterator

import pytest

from lab.backend.backend import Backend
from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.rundir import RunDir, clean
from tests.integration.guest_fixtures import linux_guests, linux_host, linux_launcher, make_launcher, pods_dir

# Session fixtures have one home: imported by two conftests they would be made twice.
__all__ = ["linux_guests", "linux_host", "linux_launcher", "make_launcher", "pods_dir"]


@pytest.fixture(scope="session")
def run() -> Iterator[RunDir]:
    """Own the folder of all that one session of tests starts."""
    made = RunDir.create("tests")
    yield made
    clean(made)


@pytest.fixture(scope="session")
def control_plane(run: RunDir) -> Iterator[ControlPlane]:
    """Run Kubernetes' control plane, with KubeVirt's VirtualMachineInstance kind."""
    started = ControlPlane(run)
    started.start()
    started.apply_crds(VMI_CRD)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def backend(run: RunDir) -> Iterator[Backend]:
    """Run Jaeger as the OTLP backend."""
    started = Backend(run)
    started.start()
    yield started
    started.stop()
