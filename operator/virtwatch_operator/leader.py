# What the leading replica runs, and how its parts hang together: watches mark keys, queues order them, workers act.
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from opentelemetry.trace import Tracer

from virtwatch_api.channel import ChannelKey
from virtwatch_api.nodemonitor import NodeMonitor
from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.place import policy_at
from virtwatch_api.policy import PolicyKey
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import KubeError
from virtwatch_kube.outage import Outage
from virtwatch_kube.paths import KUBEVIRT, resource, virtwatch
from virtwatch_kube.watch import bare
from virtwatch_operator.announce.announcer import Announcer
from virtwatch_operator.announce.continuity import Continuity
from virtwatch_operator.announce.sinks import Sinks
from virtwatch_operator.config import OperatorSettings
from virtwatch_operator.explanations.keeper import ExplanationKeeper
from virtwatch_operator.fleet import Fleet
from virtwatch_operator.handlers.registry import make_registry
from virtwatch_operator.handlers.serve import KopfThread
from virtwatch_operator.kinds import check_kinds
from virtwatch_operator.lookups import AlertLookup, PolicyLookup
from virtwatch_operator.metrics import Metrics
from virtwatch_operator.nodes.agents import AGENT_LABELS, AgentPods
from virtwatch_operator.nodes.machines import VirtualMachines, slim
from virtwatch_operator.nodes.nodes import NodeReconciler, differs, followed
from virtwatch_operator.nodes.silent import SilentNodes
from virtwatch_operator.nodes.trust import Trust
from virtwatch_operator.notify.delivery import Rules
from virtwatch_operator.notify.guard import Guard
from virtwatch_operator.notify.notifications import Notifications
from virtwatch_operator.notify.routing import routes
from virtwatch_operator.patterns.sink import PatternSink
from virtwatch_operator.patterns.state import PatternStore
from virtwatch_operator.policies import PolicyBook, Seen
from virtwatch_operator.reconcile.foreign import ForeignThresholds
from virtwatch_operator.reconcile.namespaces import Namespaces
from virtwatch_operator.reconcile.policies import PolicyReconciler
from virtwatch_operator.reconcile.thresholds import claim
from virtwatch_operator.rollup.writer import StatusWriter
from virtwatch_operator.sinks import SINKS, Means
from virtwatch_operator.watch_check import Mark
from virtwatch_operator.watch_repair import WatchRepair
from virtwatch_operator.watches import Watches
from virtwatch_operator.workers import Workers
from virtwatch_operator.workqueue import K, WorkQueue
from virtwatch_process.backoff import Backoff
from virtwatch_process.outages import Outages
from virtwatch_telemetry import Providers

_SCOPE = "virtwatch.operator"

_TICK_S = 2.0
# Everything is looked at again so often, should a watch have missed something.
_RESYNC_S = 300.0
_FIRST_RESYNC_S = 30.0
_LOOK_EVERY_S = 15.0
_POLL_S = 0.2
# What the sinks have taken meanwhile is acknowledged with one write.
_ACKNOWLEDGE_EVERY_S = 0.1
_SINK_THREADS = 8  # a busy API server answers late: what is sent at once decides then how fast a storm is reported
_FIRST_RETRY_S = 0.5
_MAX_RETRY_S = 5.0


class Leader:
    """Reconcile, create NodeMonitors, announce and roll up; `run` blocks until `halt` or `stop`."""

    def __init__(
        self, settings: OperatorSettings, providers: Providers, *, leads: Callable[[], bool], outages: Outages
    ) -> None:
        # A watch holds a connection for good: watches and workers draw from pools of their own.
        self._metrics = Metrics(providers.meter(_SCOPE))
        self._connect = partial(KubeClient.from_environment, may_write=leads, answered=self._metrics.request)
        self._watcher = self._connect()
        self._client = self._connect()
        self._namespace = settings.namespace
        self._stopping = threading.Event()
        self._kinds_found = False
        self._outages = outages
        self._book = PolicyBook()
        self._of_policies = PolicyLookup(client=self._client, book=self._book)
        self._policies: WorkQueue[PolicyKey] = WorkQueue("policies", spacing=0.2)
        self._nodes: WorkQueue[str] = WorkQueue("nodes", spacing=1.0)
        self._announce: WorkQueue[str] = WorkQueue("announce", spacing=_ACKNOWLEDGE_EVERY_S)
        self._statuses: WorkQueue[PolicyKey] = WorkQueue("statuses", spacing=1.0)
        self._foreign = ForeignThresholds(operator_namespace=settings.namespace)
        self._namespaces = Namespaces(self._policies.add)
        self._pods = AgentPods(self._nodes.add)
        self._machines = VirtualMachines(client=self._client, moved=self._vm_moved)
        self._trust = Trust(
            self._machines, exists=lambda key: bool(self._of_policies.uid(key)), judges=self._judges_over_nodes
        )
        self._fleet = Fleet(
            trust=self._trust,
            waiting=self._announce.add,
            reported=self._statuses.add,
            presence_changed=self._all_statuses,
            down=self._pods.down,
            read_on=self._read_on,
        )
        self._watches = Watches(client=self._watcher, outages=self._outages)
        self._of_alerts = AlertLookup(
            book=self._book,
            fleet=self._fleet,
            received=lambda: self._watches.synced("nodemonitors"),
            lately=self._fleet_heard_lately,
            across=lambda alert: self._patterns.fires(alert),  # noqa: PLW0108 - they are made later
        )
        tracer = providers.tracer(_SCOPE)
        self._notifications = self._make_notifications(settings, tracer)
        self._patterns = PatternSink(
            store=PatternStore(client=self._connect(), namespace=settings.namespace),
            hand=lambda batch: self._sinks.hand(batch),  # noqa: PLW0108 - the sinks are made of it
            changed=self._statuses.add,
            instance=settings.pod,
            tracer=tracer,
        )
        # Connections of its own for each, too: a sink whose requests hang keeps none from the others.
        self._sinks = Sinks(
            [
                make(
                    Means(
                        client=self._connect(),
                        settings=settings,
                        metrics=self._metrics,
                        notifications=self._notifications,
                        patterns=self._patterns,
                        firing=self._of_alerts.firing,
                        tracer=tracer,
                    )
                )
                for make in SINKS
            ],
            threads=_SINK_THREADS,
            outages=self._outages,
            delayed=self._metrics.delay,
        )
        self._add_watches(settings.namespace)
        self._silent = SilentNodes(
            fleet=self._fleet,
            pods=self._pods,
            book=self._book,
            known=self._fleet_heard_lately,
            hand=self._sinks.hand,
            instance=settings.pod,
        )
        self._workers: list[Workers[Any]] = []
        self._make_workers(settings, tracer)
        self._node_keys: frozenset[str] | None = None
        self._explanations = ExplanationKeeper(
            client=self._connect(),
            operator_namespace=settings.namespace,
            objects=partial(self._watches.objects, "explanations"),
            node_labels=self._fleet.labels,
        )
        registry = partial(make_registry, policy=self._policy_noticed, channel=self._channel_noticed)
        self._kopf = KopfThread(registry, check=partial(check_kinds, self._client), outages=self._outages)
        self._watch_repair = WatchRepair(
            client=self._client,
            mark_policy=self._policies.add,
            mark_channel=self._notifications.channels.add,
            restart=self._kopf.restart,
        )

    def run(self) -> None:
        """Start everything once the API server serves virtwatch's kinds, then look at it again now and then."""
        if not self._await_kinds():
            return
        self._watches.start()
        for workers in self._workers:
            workers.start()
        # A policy that selects by the labels of namespaces with VMs must not be compiled before these are known.
        while not self._watches.synced("namespaces", "virtual machines"):
            if self._stopping.wait(_POLL_S):
                return
        self._kopf.start()
        self._explanations.start()
        self._tick()

    def halt(self) -> None:
        """Begin nothing more; return at once."""
        self._stopping.set()
        self._explanations.halt()
        for workers in self._workers:
            workers.halt()

    def stop(self, deadline: float) -> None:
        """End within `deadline` seconds; what takes longer is left behind, as a kill would leave it."""
        end = time.monotonic() + deadline
        self.halt()
        ends: list[Callable[[float], None]] = [
            self._kopf.stop,
            *(workers.stop for workers in self._workers),
            *self._watches.stops,
        ]
        threads = [threading.Thread(target=stop, args=(deadline,), daemon=True) for stop in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0.0))

    @property
    def alive(self) -> bool:
        """Return whether no thread has died, nor hears nothing for good."""
        return self._kopf.alive and not self._watch_repair.hopeless and all(workers.alive for workers in self._workers)

    def ready(self) -> Mapping[str, bool]:
        """Return what has been found and seen, and whether that is still so."""
        return {
            "custom resource definitions": self._kinds_found,
            **self._watches.ready,
            **self._watch_repair.ready,
        }

    def _add_watches(self, namespace: str) -> None:
        add = self._watches.add
        add("namespaces", resource("v1", "namespaces"), self._namespaces.on_change, keep=bare)
        add("thresholdsets", virtwatch("thresholdsets"), self._thresholds_changed, keep=claim)
        add("nodes", resource("v1", "nodes"), self._node_changed, metadata_only=True, keep=followed)
        add(
            "nodemonitors",
            virtwatch("nodemonitors"),
            self._nodemonitor_changed,
            on_synced=self._fleet_heard,
            keep=bare,
        )
        add(
            "virtual machines",
            resource(KUBEVIRT, "virtualmachineinstances"),
            self._machine_changed,
            on_synced=self._machines_heard,
            required=False,  # without KubeVirt there are none
            metadata_only=True,
            keep=slim,
        )
        add("explanations", virtwatch("explanations"), lambda *_: None, required=False)
        add(
            "agents' pods",
            resource("v1", "pods", namespace=namespace),
            self._pods.on_change,
            labels=AGENT_LABELS,
            on_synced=self._fleet_heard,
            keep=bare,
        )

    def _make_workers(self, settings: OperatorSettings, tracer: Tracer) -> None:
        client = self._client
        policies = PolicyReconciler(
            client=client,
            operator_namespace=settings.namespace,
            namespaces=self._namespaces,
            book=self._book,
            tracer=tracer,
            decided=self._decided,
        )
        self._node_reconciler = NodeReconciler(
            client=client,
            pods=self._pods,
            keys=lambda: self._node_keys,
            node_of=partial(self._watches.find, "nodes"),
            received=lambda: self._watches.synced("nodemonitors"),
        )
        announcer = Announcer(
            client=client,
            hand=self._sinks.hand,
            continuity=Continuity(client=client, fleet=self._fleet, trust=self._trust, gone=self._pods.gone),
            trust=self._trust,
            monitor_of=self._monitor_once_all_are_known,
            policy_uid=self._of_policies.uid,
            again=self._announce.add,
            tracer=tracer,
            instance=settings.pod,
        )
        self._status_writer = StatusWriter(
            client=client,
            book=self._book,
            fleet=self._fleet,
            fleet_known=self._fleet_known,
            more=lambda facts: self._notifications.findings(facts.key, facts.notify),
            across=self._patterns.firing,
            would_have_fired=self._patterns.would_have_fired,
        )
        # No more threads in all than the client keeps connections.
        self._work(self._policies, policies.reconcile, threads=2)
        self._work(self._nodes, self._node_reconciler.reconcile, threads=1)
        self._work(self._announce, announcer.announce, threads=3)
        self._work(self._statuses, self._status_writer.write, threads=2)
        self._workers += [*self._sinks.workers, *self._notifications.workers]
        for queue in (*self._sinks.queues, *self._notifications.queues):
            self._observe(queue.name, queue)

    def _make_notifications(self, settings: OperatorSettings, tracer: Tracer) -> Notifications:
        rules = Rules(settings.namespace, Guard(settings.denied_networks), settings.trace_url)
        return Notifications(
            client=self._connect(),
            rules=rules,
            notify_of=self._of_policies.notify,
            rule_of=self._of_policies.rule,
            may_last=self._of_alerts.may_last,
            unknown=self._of_alerts.is_unknown,
            count=self._metrics.notification,
            changed=self._channel_changed,
            outages=self._outages,
            tracer=tracer,
        )

    def _work(self, queue: WorkQueue[K], work: Callable[[K], None], *, threads: int) -> None:
        self._workers.append(Workers(queue, work, threads=threads, outages=self._outages))
        self._observe(queue.name, queue)

    def _observe(self, name: str, queue: WorkQueue[Any]) -> None:
        self._metrics.observe_queue(name, lambda: queue.figures)

    def _await_kinds(self) -> bool:
        outage = Outage("virtwatch's part of the API", consequence="waiting for it", among=self._outages)
        backoff = Backoff(first=_FIRST_RETRY_S, cap=_MAX_RETRY_S)
        while not self._stopping.is_set():
            try:
                check_kinds(self._client)
            except KubeError as error:
                outage.failed(error)
                self._stopping.wait(backoff.delay())
            else:
                outage.healed()
                self._kinds_found = True
                return True
        return False

    def _tick(self) -> None:
        """Do what no watch reports, until the end."""
        outage = Outage("The periodic look at everything", consequence="it is done again", among=self._outages)
        resync, look = (time.monotonic() + wait for wait in (_FIRST_RESYNC_S, _LOOK_EVERY_S))
        while not self._stopping.wait(_TICK_S):
            self._pods.tick()
            self._fleet.notice_presence()
            self._silent.look()
            self._sinks.tick()
            now = time.monotonic()
            try:
                if now >= look:
                    look = now + _LOOK_EVERY_S
                    self._look(all_anew=now >= resync)
                    resync = now + _RESYNC_S if now >= resync else resync
            except KubeError as error:
                outage.failed(error)
            else:
                outage.healed()

    def _look(self, *, all_anew: bool) -> None:
        """See that kopf reports what there is; now and then, look at everything again."""
        policies = self._watch_repair.look()
        if self._node_keys is None and all(self._book.get(key) is not None for key in policies):
            self._select_nodes_by(self._book.node_keys())
        if all_anew:
            self._resync(policies)

    def _decided(self, key: PolicyKey) -> None:
        self._statuses.add(key)
        if self._node_keys is not None:
            self._select_nodes_by(self._book.node_keys())

    def _select_nodes_by(self, keys: frozenset[str]) -> None:
        if keys != self._node_keys:
            self._node_keys = keys
            for node in self._pods.nodes():
                self._nodes.add(node)

    def _resync(self, policies: Iterable[PolicyKey]) -> None:
        self._foreign.look(self._watches.objects("thresholdsets"), set(policies))
        # kopf never hears of what was deleted while it listed again.
        for key in {*policies, *(facts.key for facts in self._book.all())}:
            self._policies.add(key)
        for node in self._pods.nodes():
            self._nodes.add(node)
        self._notifications.resync()

    def _channel_noticed(self, key: ChannelKey, mark: Mark) -> None:
        self._watch_repair.channel(key, mark)
        self._notifications.channels.add(key)

    def _policy_noticed(self, key: PolicyKey, seen: Seen) -> None:
        """Mark a policy that changed; where only its status did, the status, unless it was written here."""
        self._watch_repair.policy(key, seen)
        facts = self._book.get(key)
        if facts is None or (facts.uid, facts.generation) != (seen.uid, seen.generation):
            self._policies.add(key)
        elif self._status_writer.noticed(key, seen):
            self._statuses.add(key)

    def _thresholds_changed(self, old: Json | None, new: Json | None) -> None:
        """Mark a ThresholdSet's policy if the ThresholdSet is not what was written here."""
        document = new or old
        assert document is not None
        metadata = document["metadata"]
        # By where it stands: what it claims is not to be believed.
        key = policy_at(metadata["namespace"], metadata["name"], operator_namespace=self._namespace)
        facts = self._book.get(key)
        if facts is not None and (new is None or metadata["resourceVersion"] != facts.version):
            self._policies.add(key)

    def _nodemonitor_changed(self, old: Json | None, new: Json | None) -> None:
        self._fleet.on_change(old, new)
        document = new or old
        assert document is not None
        node = document["metadata"]["name"]
        if self._node_reconciler.noticed(node, new):
            self._nodes.add(node)
        if new is None:
            self._announce.add(node)  # to forget what was acknowledged

    def _fleet_heard(self) -> None:
        self._all_statuses()
        for node in self._fleet.waiting():
            self._announce.add(node)
        for node in self._pods.nodes():
            self._nodes.add(node)

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None and differs(old, new):
            self._nodes.add(new["metadata"]["name"])

    def _machine_changed(self, old: Json | None, new: Json | None) -> None:
        self._machines.on_change(old, new)
        if new is not None:
            self._namespaces.populate(new["metadata"]["namespace"])

    def _vm_moved(self, node: str) -> None:
        self._fleet.moved(node)

    def _machines_heard(self) -> None:
        self._machines.on_synced()
        self._fleet_heard()

    def _fleet_known(self) -> bool:
        return self._watches.synced("nodemonitors", "virtual machines", "agents' pods")

    def _judges_over_nodes(self, policy: PolicyKey, rule: str) -> bool:
        # Of a rule by which nothing was counted yet the book alone knows; of one that was edited just now, the sink.
        return self._book.spans_nodes(policy, rule) or self._patterns.judges(policy, rule)

    def _fleet_heard_lately(self) -> bool:
        return self._fleet_known() and self._watches.fresh("nodemonitors", "agents' pods")

    def _monitor_once_all_are_known(self, node: str) -> NodeMonitor | None:
        # Whether an alert began or came from another node, and whether this one may speak of it, is not known before.
        return self._fleet.monitor(node) if self._fleet_known() else None

    def _read_on(self) -> None:
        for key in self._status_writer.waiting():
            self._statuses.add(key)

    def _all_statuses(self) -> None:
        for facts in self._book.all():
            self._statuses.add(facts.key)

    def _channel_changed(self, key: ChannelKey) -> None:
        for facts in self._book.all():
            if key in routes(facts.key, facts.notify, operator_namespace=self._namespace):
                self._statuses.add(facts.key)
