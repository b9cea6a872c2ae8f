"""Why a target cannot give a figure, in sentences, for readings whose source knows which one is true."""

NO_SWAP = "the node has no swap"
NO_HUGE_PAGES = "the node has reserved no huge pages"
NO_KSM = "the node's kernel does not share equal pages: it needs CONFIG_KSM"
NO_DELAYS = (
    "its host's kernel does not count delays: set sysctl kernel.task_delayacct=1 and restart the VM, since only threads"
    " that start afterwards count"
)
NO_GROUP_PRESSURE = (
    "its control group tells no pressure: its host's kernel needs CONFIG_PSI, and psi=1 where that is off"
)
NO_GROUPS = "its host has no control groups of version 2, which alone tell pressure"
NO_OWN_GROUP = "its QEMU has no control group of its own: it shares one with other processes"
UNSEEN_GROUP = "its control group lies outside of what the agent sees of the host's"
