"""Measures the operator's own share on a real API server, with simulated agents that speak the real protocol.

    python -m tests.scale.operator --nodes 250 500 1000 --policies 50

One line of JSON for each figure on standard output; progress on standard error. On few cores API server and agents take
their part, too: what is the operator's own (CPU, memory, ready) is measured as such, the rest is printed with it.
"""

import argparse
import itertools
import math
import random
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import psutil

from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.process import Process, free_port
from lab.rundir import RunDir, clean
from tests.integration.operator.place import Place, eventually
from tests.integration.operator.stand_in import StandIn
from tests.unit.operator.builders import PLAIN, applied, facts, firing
from tools.bench.figure import Figure, percentile, spread
from tools.checkout import CHECKOUT
from virtwatch_api.nodemonitor_codec import Json, format_time
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.targets import vm_ref
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import KubeError, NotFound
from virtwatch_kube.paths import EVENTS, resource, virtwatch
from virtwatch_kube.watch import OnChange, Watch
from virtwatch_operator.rollup.aggregate import roll_up
from virtwatch_operator.rollup.reports import Presence, Report

SETTLED_S = 40.0
STEADY_S = 60.0
TRANSITIONS = 1000
DELAYS = 200
ALERTS_PER_NODE = 16
READY_GOAL_S, STEADY_GOAL, RSS_GOAL_MB, ROLLUP_GOAL_MS, ANNOUNCED_GOAL_S = 10.0, 0.05, 200.0, 20.0, 20.0
DELAY_GOAL_S = 0.5


class Fleet:
    """Hold a cluster with nodes, policies and simulated agents."""

    def __init__(self, cluster: ControlPlane, nodes: int, policies: int) -> None:
        self.client = KubeClient.from_environment(str(cluster.kubeconfig))
        self.place = Place(cluster, self.client, "scale", [], itertools.count())
        self.names = [f"scale-n{number:04}" for number in range(nodes)]
        self.policies = [PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, f"scale-{number}") for number in range(policies)]
        self.agents: list[StandIn] = []
        self.port = free_port()

    def start_operator(self) -> Process:
        return self.place.operator(VIRTWATCH_HEALTH_PORT=str(self.port))

    def make(self) -> None:
        """Make namespaces, policies, nodes and agents' pods, and wait until the operator has made all NodeMonitors."""
        for namespace in (self.place.name, self.place.system):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            self.client.create(resource("v1", "namespaces"), body)
        account = resource("v1", "serviceaccounts", namespace=self.place.system, name="default")
        eventually(lambda: self.client.get(account), what="the ServiceAccount")
        for key in self.policies:
            self.place._apply_policy(key, {"rules": [RULE]})
        in_parallel(self.place.add_agent_pod, self.names)
        monitors = virtwatch("nodemonitors")
        eventually(lambda: len(self.client.list(monitors)) >= len(self.names), what="NodeMonitors", deadline=600)

    def report(self) -> None:
        """Let every agent report that it applies all policies, and 16 alerts of its own."""
        hashes = {
            key: eventually(lambda key=key: self._hash(key), what=f"{key}", deadline=300) for key in self.policies
        }
        for name in self.names:
            agent = StandIn(self.client, name, replace(PLAIN, node=name))
            for number in range(ALERTS_PER_NODE):
                agent.subject = replace(PLAIN, node=name, target=vm_ref(f"{name}-{number}"))
                agent.fires(self.policies[number % len(self.policies)])
            for key, hash_ in hashes.items():
                agent.applies(key, hash_)
            self.agents.append(agent)
        in_parallel(StandIn.publish, self.agents)

    def all_applied(self) -> bool:
        """Tell whether each policy's status counts every node."""
        items = self.client.list(virtwatch("clustermonitorpolicies"))
        done = [
            (item.get("status") or {}).get("targets", {}).get("nodesApplied", 0) >= len(self.names) for item in items
        ]
        time.sleep(0.5)
        return all(done)

    def _hash(self, key: PolicyKey) -> str:
        try:
            found = self.client.get(virtwatch("thresholdsets", namespace=self.place.system, name=f"cluster.{key.name}"))
        except NotFound:
            return ""
        return str(found["spec"]["hash"])


RULE = {
    "name": "cpu-starved",
    "threshold": {"signal": "vm.cpu.delay.ratio", "warning": {"above": "0.05"}, "critical": {"above": "0.1"}},
}


def in_parallel(work: Callable[..., object], items: Iterable[object]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, items))


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def measure(nodes: int, policies: int) -> Iterable[Figure]:
    run = RunDir.create("scale")
    cluster = ControlPlane(run)
    size = f"{nodes} nodes, {policies} policies"
    try:
        cluster.start()
        cluster.apply_crds(VMI_CRD, CHECKOUT / "crds")
        fleet = Fleet(cluster, nodes, policies)
        first = fleet.start_operator()
        fleet.make()
        fleet.report()
        began = time.monotonic()
        eventually(fleet.all_applied, what="every status to count every node", deadline=600)
        yield figure(f"operator, reports of all nodes to every policy's status ({size})", time.monotonic() - began)
        first.kill()

        began = time.monotonic()
        operator = fleet.start_operator()
        eventually(lambda: ready(fleet.port), what="the operator to be ready", deadline=120)
        yield figure(f"operator, ready after its start ({size})", time.monotonic() - began, goal=READY_GOAL_S)
        process = psutil.Process(operator.pid)
        time.sleep(SETTLED_S)  # what a new leader looks at once
        yield from steady(process, fleet, size)
        yield delays(fleet, size)
        others = {"API server": cluster.apiserver, "etcd": cluster.etcd}
        parts = {"operator": process, **{name: psutil.Process(part.pid) for name, part in others.items()}}
        yield storm(fleet, size, parts)
        rss = process.memory_info().rss / 1e6
        yield figure(f"operator, memory after the storm ({size})", rss, unit="MB", goal=RSS_GOAL_MB)
        operator.kill()
    finally:
        cluster.stop()
        clean(run)


def steady(process: psutil.Process, fleet: Fleet, size: str) -> Iterable[Figure]:
    """Measure while agents write as often as quiet ones do: each its whole status every 5 min."""
    ended = threading.Event()

    def refresh() -> None:
        for agent in itertools.cycle(fleet.agents):
            if ended.wait(300.0 / len(fleet.agents)):
                return
            agent.reported = time.time()
            agent.publish()

    thread = threading.Thread(target=refresh, daemon=True)
    thread.start()
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(STEADY_S)
    after, took = process.cpu_times(), time.monotonic() - began
    ended.set()
    thread.join()
    share = (after.user + after.system - before.user - before.system) / took
    yield figure(f"operator, share of a core when steady ({size})", share, unit="1", goal=STEADY_GOAL)
    yield figure(f"operator, memory ({size})", process.memory_info().rss / 1e6, unit="MB", goal=RSS_GOAL_MB)


def delays(fleet: Fleet, size: str) -> Figure:
    """Let transitions happen one by one; each delay runs from before its agent reports it to a watcher's Event."""
    seen: dict[tuple[str, str], float] = {}

    def noticed(_: Json | None, event: Json | None) -> None:
        if event is not None:
            alert = (event["metadata"].get("labels") or {}).get("virtwatch.io/alert", "")
            seen.setdefault((alert, event["eventTime"]), time.monotonic())

    found = []
    with watching(fleet.client, resource(EVENTS, "events"), noticed):
        for number in range(DELAYS):
            agent = fleet.agents[number % len(fleet.agents)]
            time.sleep(random.uniform(0.05, 0.4))
            item = agent.happen(fleet.policies[number % len(fleet.policies)])
            begun, told = time.monotonic(), (item.alert.id, format_time(item.at))
            agent.publish()
            eventually(lambda told=told: told in seen, what="the Event")
            found.append(seen[told] - begun)
            eventually(agent.hear, what="the acknowledgement")
    return Figure(
        name=f"operator, transition reported to Event seen, p99 of {DELAYS} ({size})",
        value=percentile(found, 0.99),
        unit="s",
        goal=DELAY_GOAL_S,
        detail=f"{spread(found)}; {load()}",
    )


def storm(fleet: Fleet, size: str, processes: Mapping[str, psutil.Process]) -> Figure:
    """Let 1,000 transitions happen at once, and wait until all are acknowledged."""
    agents = {agent.node: agent for agent in fleet.agents[:50]}
    for number in range(TRANSITIONS):
        agent = fleet.agents[number % len(agents)]
        agent.happen(fleet.policies[number % len(fleet.policies)])

    def acknowledged(_: Json | None, monitor: Json | None) -> None:
        if monitor is not None and monitor["metadata"]["name"] in agents:
            agents[monitor["metadata"]["name"]].note(monitor)

    with watching(fleet.client, virtwatch("nodemonitors"), acknowledged):
        before, began = cpu(processes), time.monotonic()
        threads = [threading.Thread(target=drain, args=(agent,), daemon=True) for agent in agents.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        took, after = time.monotonic() - began, cpu(processes)
    assert not any(agent.waiting() for agent in agents.values())
    spent = ", ".join(f"{name} {after[name] - before[name]:.1f} s" for name in processes)
    return Figure(
        name=f"operator, 1,000 transitions announced and acknowledged ({size})",
        value=took,
        unit="s",
        goal=ANNOUNCED_GOAL_S,
        detail=f"CPU: {spent}; {load()}",
    )


def drain(agent: StandIn) -> None:
    """Report what waits, as an agent does: once a second at most, and only what is new."""
    said = 0
    while waiting := agent.waiting():
        try:
            if len(waiting) != said:
                agent.publish()
                said = len(waiting)
        except KubeError:
            said = 0
        time.sleep(1)


@contextmanager
def watching(client: KubeClient, path: str, on_change: OnChange) -> Iterator[None]:
    """Watch a collection, as far as it is new."""
    watch = Watch(path, client=client, on_change=on_change, name=path.rpartition("/")[2])
    watch.start()
    eventually(lambda: watch.synced, what="the first list")
    try:
        yield
    finally:
        watch.stop()


def cpu(processes: Mapping[str, psutil.Process]) -> Mapping[str, float]:
    """Return the CPU that each has used, in seconds."""
    return {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}


def load() -> str:
    """Say how busy the machine was."""
    return f"load {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} CPUs"


def rollup(nodes: int) -> Figure:
    """Measure the rollup of one policy alone: 16 alerts on each node."""
    names = [f"n{number}" for number in range(nodes)]
    reports = {
        name: Report(
            applied(),
            tuple(firing(replace(PLAIN, node=name, target=vm_ref(f"{name}-{number}"))) for number in range(16)),
        )
        for name in names
    }
    presence, known, taken = Presence(frozenset(names), frozenset()), facts(), []
    for _ in range(20):
        began = time.perf_counter()
        roll_up(known, presence, reports, read_up_to={})
        taken.append((time.perf_counter() - began) * 1000)
    return figure(
        f"operator, rollup of {ALERTS_PER_NODE} alerts on each of {nodes} nodes",
        percentile(taken, 0.5),
        unit="ms",
        goal=ROLLUP_GOAL_MS,
    )


def figure(name: str, value: float, *, unit: str = "s", goal: float | None = None) -> Figure:
    return Figure(
        name=name, value=value, unit=unit, goal=goal, detail=f"agents and API server share the machine; {load()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[250, 500, 1000], help="sizes, one after the other")
    parser.add_argument("--policies", type=int, default=50)
    arguments = parser.parse_args()
    measured: dict[str, dict[int, Figure]] = {}
    for nodes in arguments.nodes:
        for found in itertools.chain([rollup(nodes)], measure(nodes, arguments.policies)):
            print(found.line(), flush=True)
            measured.setdefault(_without_size(found.name, nodes), {})[nodes] = found
    for name, figures in measured.items():
        if len(figures) > 1:
            print(growth(name, figures).line(), flush=True)


def _without_size(name: str, nodes: int) -> str:
    return name.partition(f" ({nodes} nodes")[0].replace(f"{nodes} nodes", "n nodes")


def growth(name: str, figures: Mapping[int, Figure]) -> Figure:
    """Say by which power of the number of nodes a figure grows, from the smallest to the largest size."""
    small, large = min(figures), max(figures)
    power = math.log(figures[large].value / figures[small].value) / math.log(large / small)
    values = ", ".join(f"{figure.value:.3g} {figure.unit} at {nodes}" for nodes, figure in sorted(figures.items()))
    return Figure(
        name=f"{name}, power of the number of nodes by which it grows",
        value=power,
        unit="1",
        goal=None,
        detail=f"{values}; 0 is constant, 1 as many times as there are nodes",
    )


if __name__ == "__main__":
    main()
    sys.exit(0)
