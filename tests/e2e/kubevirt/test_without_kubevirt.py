"""virtwatch before KubeVirt came and after it went. It removes KubeVirt: its name makes it the last of this folder."""

import pytest

from lab.guests.guest import Guest
from lab.kubevirt.installation import remove
from tests.e2e.kubevirt.plain import Seen, see_plain
from tests.e2e.kubevirt.watched import Watched

pytestmark = pytest.mark.timeout(900)


def test_before_kubevirt_was_installed_agents_watched_a_plain_libvirt(seen_before_kubevirt: Seen) -> None:
    assert seen_before_kubevirt == Seen(
        kubevirt=False,
        machines=(1, 0),
        collecting=("True", "True"),
        told=("AlertCritical", "AlertResolved"),
    )


def test_the_same_agents_watch_it_after_kubevirt_was_removed(
    watched: Watched, plain: Guest, seen_before_kubevirt: Seen
) -> None:
    started = [watched.node(name)["agent"]["started"] for name in watched.cluster.nodes]

    remove(watched.cluster)

    assert see_plain(watched, plain) == seen_before_kubevirt
    # None of them ended for want of KubeVirt's kinds.
    assert [watched.node(name)["agent"]["started"] for name in watched.cluster.nodes] == started
