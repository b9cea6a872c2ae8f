"""The configuration files of a node's containerd and kubelet. Paths are as the node sees them: mostly the defaults."""

import json
from collections.abc import Sequence
from pathlib import Path

from lab.node.small import PAUSE

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
# Linux' CAP_SYS_RESOURCE, without which no process may lower an oom_score_adj.
_SYS_RESOURCE = 24


def may_lower_oom_score(status: str) -> bool:
    """Tell from /proc/self/status whether containers may be made less likely to be killed than their parent."""
    [effective] = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")]
    return bool(int(effective, 16) >> _SYS_RESOURCE & 1)


def containerd_config(*, cni: Path, plugins: Sequence[str | Path], lower_oom_score: bool) -> str:
    """Return containerd's configuration (TOML): its own root, state and socket are where they are by default."""
    return f"""\
version = 3
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {"false" if lower_oom_score else "true"}
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = {json.dumps([str(folder) for folder in plugins])}
    conf_dir = "{cni}"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
[plugins.'io.containerd.internal.v1.opt']
  path = "/var/lib/containerd/opt"
"""


def kubelet_config(
    *, address: str, port: int, health_port: int, ca: Path, resolv: Path, cgroup: str, unified: bool, oom_score: bool
) -> str:
    """Return the kubelet's configuration (JSON is YAML too). `address` is the only one on which it listens."""
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "port": port,
        "healthzPort": health_port,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "enforceNodeAllocatable": [],
        # Kubernetes gives up on cgroup v1, by default.
        **({} if unified else {"failCgroupV1": False}),
        **({} if oom_score else {"oomScoreAdj": 0}),
        "failSwapOn": False,
        # By default a folder of the machine's.
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "resolvConf": str(resolv),
        "makeIPTablesUtilChains": False,
        # A machine that is busy with tests shall not lose pods for it.
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "shutdownGracePeriod": "0s",
        # Stops and kills of its parts are seen within seconds.
        "nodeStatusUpdateFrequency": "5s",
    }
    return json.dumps(config, indent=1)
