import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.soak import times
from virtwatch_agent.journal.store import Journal, JournalInUseError, Restored

# Writes transitions for ever, three to a batch with the state that they leave; prints each batch once it is durable.
WRITER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from virtwatch_agent.judge.records import AlertRecord
    from virtwatch_agent.journal.store import Batch, Journal
    from virtwatch_api.alert import Action, AlertKey, AlertState, Reason
    from virtwatch_api.nodemonitor import Evidence, Transition
    from virtwatch_api.targets import Subject, vm_ref
    from virtwatch_api.policy import PolicyKey, PolicyKind, Severity

    journal = Journal(Path(sys.argv[1]))
    sequence = journal.open(lambda: "e").sequence
    key = AlertKey(PolicyKey(PolicyKind.MONITOR_POLICY, "p", "n"), "r", vm_ref("u"))
    subject = Subject("d", vm_ref("u"), "n1")
    while True:
        batch = []
        for _ in range(3):
            sequence += 1
            batch.append(
                Transition(
                    sequence, key, Action.FIRED, Reason.BREACH, Severity.WARNING, None, 1.0, 1.0, subject, Evidence("s")
                )
            )
        state = AlertState(severity=Severity.WARNING, since=float(sequence))
        record = AlertRecord(key, state, subject, Evidence("s"))
        journal.commit(Batch("e", sequence, max(0, sequence - 60), batch, {key.id: record}, {}))
        print(sequence, flush=True)
""")


@pytest.mark.soak
def test_kills_at_random_moments_lose_no_batch_tear_none_and_free_the_folder(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    durable = 0
    for _ in range(times(6, 1000)):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(chance.randrange(1, 40)):
            durable = int(writer.stdout.readline())
        with pytest.raises(JournalInUseError, match=f"^The state folder {tmp_path} is used by another process: "):
            read(tmp_path)
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        durable = int(rest[-1]) if rest else durable
        writer.stdout.close()
        writer.wait()

        restored = read(tmp_path)

        assert restored.sequence >= durable
        sequences = [item.sequence for item in restored.transitions]
        assert sequences == list(range(sequences[0], restored.sequence + 1))
        assert [record.state.since for record in restored.alerts] == [restored.sequence]


def read(folder: Path) -> Restored:
    journal = Journal(folder)
    try:
        return journal.open(lambda: "never")
    finally:
        journal.close()
