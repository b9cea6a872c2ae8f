"""The scheduler, which a control plane needs as soon as it has nodes."""

from pathlib import Path

from lab.controlplane.binaries import NODE, find_programs
from lab.controlplane.cluster import ControlPlane
from lab.process import Process, free_port, start
from lab.rundir import RunDir


def start_scheduler(run: RunDir, control_plane: ControlPlane) -> Process:
    """Start kube-scheduler as the admin."""
    argv: list[str | Path] = [
        find_programs(NODE)["kube-scheduler"],
        f"--kubeconfig={control_plane.kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}",
        f"--cert-dir={control_plane.folder / 'scheduler'}",
    ]
    return start("kube-scheduler", argv, run_dir=run.path)
