from contextlib import contextmanager

from lab.process import wait_for
from virtwatch_kube.watch import Watch


class Recorder:
    """Keep what a watch said: "+a" for a new object, "~a" for a changed, "-a" for a deleted one."""

    def __init__(self):
        self.said = []
        self.synced = 0

    def on_change(self, old, new):
        sign = "+" if old is None else "-" if new is None else "~"
        self.said.append(sign + (new or old)["metadata"]["name"])

    def on_synced(self):
        self.synced += 1

    def received(self, *said, deadline=60.0):
        """Return when exactly this was said in all, in any order."""
        wait_for(
            lambda: sorted(self.said) == sorted(said),
            what=f"the watch to say {said} (it said {self.said})",
            deadline=deadline,
        )


@contextmanager
def watching(path, client, **options):
    """Run a watch that tells a recorder."""
    recorder = Recorder()
    watch = Watch(
        path,
        client=client,
        on_change=recorder.on_change,
        on_synced=recorder.on_synced,
        **{"name": "things", **options},
    )
    watch.start()
    try:
        yield watch, recorder
    finally:
        watch.stop()
        assert not watch._thread.is_alive()


def synced(watch, deadline=60.0):
    wait_for(lambda: watch.synced, what="the watch to be synced", deadline=deadline)
