"""Bring the lab's parts up and keep them; each part adds what a person needs to reach it."""

from lab.backend.backend import Backend
from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.keep import keep, name_leftovers
from lab.rundir import RunDir, clean
from tools.checkout import CHECKOUT
from tools.machine import require_machine
from tools.progress import step


def up() -> None:
    """Start everything; when a part fails, end what was started."""
    require_machine()
    name_leftovers()
    run = RunDir.create("up")
    try:
        _start(run)
    except BaseException:
        clean(run)
        raise


def _start(run: RunDir) -> None:
    control_plane, backend = ControlPlane(run), Backend(run)
    with step("Starting the control plane"):
        control_plane.start()
        control_plane.apply_crds(VMI_CRD)
    with step("Starting Jaeger"):
        backend.start()
    variables = {
        "KUBECONFIG": str(control_plane.kubeconfig),
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp_http,
        "JAEGER": backend.ui,
    }
    env = keep(run, variables=variables, path=[control_plane.bin])
    print(
        f"The lab is up: source {env.relative_to(CHECKOUT)}; kubectl get ns; Jaeger at {backend.ui}; make down ends it."
    )
