"""Run one control plane: start it, reach it, and break and mend its parts one at a time."""

import json
import os
import shutil
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from functools import partial
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from lab.controlplane import binaries
from lab.controlplane.kubeconfig import write_kubeconfig
from lab.controlplane.pki import Pki, find_pki, make_pki
from lab.process import Process, free_port, start, wait_for, with_other_ports
from lab.rundir import RunDir
from tools.errors import ToolError
from tools.machine import ensure_packages

READY_DEADLINE_S = 120.0
# What an API server owes that many others use; one that is gone refuses at once.
ANSWER_S = 30.0
VMI_CRD = Path(__file__).with_name("virtualmachineinstances.yaml")
# No kubelet runs here, so nothing that acts for want of one: pod garbage collector, node lifecycle and taint
# eviction would delete Pods of Nodes that never report, workload controllers would make Pods that never run.
# (A Pod bound to a Node goes at once when deleted, its namespace too, if its terminationGracePeriodSeconds is 0.)
CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
)
# What acts on Nodes and Pods, for a lab whose nodes have kubelets.
NODE_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "job-controller",
    "node-lifecycle-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "taint-eviction-controller",
)
# A token outlives any run that a person keeps; it ends with the Pod that it is bound to.
TOKEN_DURATION = "168h"
# kube-apiserver collects garbage half as often: its start takes a tenth less CPU, and 100 MB more memory.
_FEWER_COLLECTIONS = {"GOGC": "200"}

# No proxy of the environment stands between the lab and its own loopback.
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ControlPlane:
    """etcd, kube-apiserver and kube-controller-manager of one run, on loopback ports of their own.

    `etcd`, `apiserver` and `controller_manager` are processes to stop, kill and restart singly (after a restart, call
    `wait_ready`); their data outlives them. `kubeconfig` is the admin's.
    """

    etcd: Process
    apiserver: Process
    controller_manager: Process
    server: str
    _etcd_port: int

    def __init__(self, run: RunDir, *, controllers: Sequence[str] = CONTROLLERS) -> None:
        self.folder = run.path / "controlplane"
        self._controllers = controllers
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.bin = self.folder / "bin"
        self._run = run
        self._pki: Pki | None = None
        self._connection: HTTPSConnection | None = None
        self._asking = threading.Lock()
        self._parts: list[Process] = []

    def start(self) -> None:
        """Start all three and return when the API answers and gives new namespaces their ServiceAccount."""
        self.start_api()
        self.start_controllers()

    def start_api(self) -> None:
        """Start etcd and kube-apiserver alone: what is deleted with its owner or its namespace then stays."""
        ensure_packages(["openssl"])
        self.folder.mkdir()
        self.bin.mkdir()
        self._link(binaries.API)
        self._pki = make_pki(self.folder / "pki")
        with_other_ports(self._start_parts, self.stop)

    def attach(self) -> None:
        """Reach the API that another process of this run started; its parts are not ours to stop."""
        self._pki = find_pki(self.folder / "pki")
        self.server = json.loads(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]

    def start_controllers(self) -> None:
        """Start kube-controller-manager on a running API; return when new namespaces get their ServiceAccount."""
        self._link(binaries.CONTROLLERS)
        self.controller_manager = self._part("kube-controller-manager", *self._controller_manager_flags())
        self.wait_ready()

    def restart_emptied(self) -> None:
        """Start all three again on an empty etcd, each when what it needs serves, and return when they are ready."""
        for part in (self.apiserver, self.etcd, self.controller_manager):
            part.kill()
        shutil.rmtree(self.folder / "etcd")
        self.etcd.restart()
        self._wait_serving()
        self.apiserver.restart()
        self._wait_api()
        # It gives up when the API server is not healthy within 10 s of its start, which a busy machine may need.
        self.controller_manager.restart()
        self.wait_ready()

    def stop(self) -> None:
        """End what runs, the last started first. Its folder stays until the run is cleaned.

        By SIGKILL: nothing is asked of it any more, and in order kube-apiserver waits 10 s for its watchers to leave.
        """
        while self._parts:
            self._parts.pop().kill()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def wait_ready(self, deadline: float = READY_DEADLINE_S) -> None:
        """Return when the API server is ready and has what controllers make at first: ones started again may lag."""
        self._wait_api(deadline)
        wait_for(self._populated, what="the default ServiceAccount", deadline=deadline, process=self.controller_manager)

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:  # noqa: A002
        """Run kubectl as the admin. Raises ToolError with what it said when it fails, unless `check` is False."""
        argv = [str(self.bin / "kubectl"), *args]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(argv, input=input, env=environment, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise ToolError(f"kubectl {' '.join(args)} failed: {done.stderr.strip()}")
        return done

    def apply_crds(self, *files: Path) -> None:
        """Apply CustomResourceDefinitions (files or folders) and return when the API serves them."""
        sources = [part for file in files for part in ("-f", str(file))]
        self.kubectl("apply", "--server-side", *sources)
        # Of folders below it takes them all, which `apply` does not.
        self.wait_established("--recursive=false", *sources)

    def wait_established(self, *crds: str) -> None:
        """Return when the API serves the CustomResourceDefinitions that are named as kubectl takes them.

        kubectl wait fails at once on one that is so new that it has no conditions yet.
        """
        waited = ("wait", "--for=condition=Established", "--timeout=5s", *crds)
        what = f"{' '.join(crds)} to be served"
        wait_for(lambda: self.kubectl(*waited, check=False).returncode == 0, what=what, deadline=READY_DEADLINE_S)

    def service_account_kubeconfig(self, namespace: str, name: str, *, bound_pod: str | None = None) -> Path:
        """Write a kubeconfig with a fresh token of a ServiceAccount, as its Pod would have it.

        Bound to a Pod, the token carries the Pod's node into the user's extra `authentication.kubernetes.io/node-name`;
        neither Pod nor Node need run.
        """
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={bound_pod}") if bound_pod else ()
        made = self.kubectl("create", "token", name, f"--namespace={namespace}", f"--duration={TOKEN_DURATION}", *bound)
        path = self.folder / "kubeconfigs" / f"{namespace}_{name}_{bound_pod or ''}"
        return write_kubeconfig(
            path, server=self.server, ca=self.pki.ca, token=made.stdout.strip(), namespace=namespace
        )

    @property
    def pki(self) -> Pki:
        if self._pki is None:
            raise ToolError("The control plane has no keys before start().")
        return self._pki

    def _start_parts(self) -> None:
        client, peer, api = (free_port() for _ in range(3))
        self.server = f"https://127.0.0.1:{api}"
        write_kubeconfig(self.kubeconfig, server=self.server, ca=self.pki.ca, token=self.pki.admin_token)
        self.etcd = self._part("etcd", *self._etcd_flags(client, peer))
        self._etcd_port = client
        self._wait_serving()
        self.apiserver = self._part("kube-apiserver", *self._apiserver_flags(client, api), env=_FEWER_COLLECTIONS)
        self._wait_api()

    def _wait_serving(self) -> None:
        # The API server gives up when etcd does not serve within 20 s, which a busy machine may need.
        what = "etcd to serve"
        wait_for(partial(_serves, self._etcd_port), what=what, deadline=READY_DEADLINE_S, process=self.etcd)

    def _wait_api(self, deadline: float = READY_DEADLINE_S) -> None:
        wait_for(self._ready, what="kube-apiserver to be ready", deadline=deadline, process=self.apiserver)

    def _link(self, names: tuple[str, ...]) -> None:
        for name, path in binaries.find_programs(names).items():
            (self.bin / name).symlink_to(path.absolute())

    def _part(self, name: str, *flags: str, env: Mapping[str, str] | None = None) -> Process:
        part = start(name, [self.bin / name, *flags], run_dir=self._run.path, env=env)
        self._parts.append(part)
        return part

    def _etcd_flags(self, client: int, peer: int) -> tuple[str, ...]:
        here, there = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        return (
            "--name=lab",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={here}",
            f"--advertise-client-urls={here}",
            f"--listen-peer-urls={there}",
            f"--initial-advertise-peer-urls={there}",
            f"--initial-cluster=lab={there}",
            # The page cache outlives a kill -9, and the lab's data need not outlive the machine's power.
            "--unsafe-no-fsync",
        )

    def _apiserver_flags(self, etcd: int, port: int) -> tuple[str, ...]:
        pki = self.pki
        return (
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--tls-cert-file={pki.certificate('apiserver')}",
            f"--tls-private-key-file={pki.key('apiserver')}",
            f"--client-ca-file={pki.ca}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki.verifying_key}",
            f"--service-account-signing-key-file={pki.signing_key}",
            f"--token-auth-file={pki.tokens}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--requestheader-client-ca-file={pki.front_proxy_ca}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki.certificate('front-proxy')}",
            f"--proxy-client-key-file={pki.key('front-proxy')}",
            "--enable-aggregator-routing=true",
            # For kubectl logs and exec, where there are kubelets.
            f"--kubelet-client-certificate={pki.certificate('kubelet-client')}",
            f"--kubelet-client-key={pki.key('kubelet-client')}",
            "--kubelet-preferred-address-types=InternalIP",
        )

    def _controller_manager_flags(self) -> tuple[str, ...]:
        return (
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(self._controllers)}",
            f"--service-account-private-key-file={self.pki.signing_key}",
            f"--root-ca-file={self.pki.ca}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            # Nobody asks it anything: a port of its own would be one more to be taken by another.
            "--secure-port=0",
        )

    def get(self, path: str) -> dict[str, Any]:
        """Return what the API server has at a path, asked as the admin; empty while it has nothing, or is not there.

        A hundredth of what kubectl costs: for what is asked again and again.
        """
        status, body = self._ask(path)
        found: dict[str, Any] = json.loads(body) if status == 200 else {}
        return found

    def _ready(self) -> bool:
        return self._ask("/readyz")[0] == 200

    def _populated(self) -> bool:
        return self._ask("/api/v1/namespaces/default/serviceaccounts/default")[0] == 200

    def _ask(self, path: str) -> tuple[int, bytes]:
        with self._asking:
            # One that was kept may have ended with the API server that it led to.
            if self._connection is not None and (answer := self._answer(self._connection, path)):
                return answer
            context = ssl.create_default_context(cafile=str(self.pki.ca))
            host, _, port = self.server.removeprefix("https://").partition(":")
            self._connection = HTTPSConnection(host, int(port), timeout=ANSWER_S, context=context)
            return self._answer(self._connection, path) or (0, b"")

    def _answer(self, connection: HTTPSConnection, path: str) -> tuple[int, bytes] | None:
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.pki.admin_token}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            connection.close()
            return None


def _serves(etcd: int) -> bool:
    """Return whether the etcd on this loopback port has a leader, and so answers."""
    try:
        with _DIRECTLY.open(f"http://127.0.0.1:{etcd}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
