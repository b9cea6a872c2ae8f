"""Why a target cannot give a figure, in sentences, for readings whose source knows which one is true."""

NO_SWAP = "the node has no swap"
NO_HUGE_PAGES = "the node has reserved no huge pages"
NO_KSM = "the node's kernel does not share equal pages: it needs CONFIG_KSM"
NO_DELAYS = (
    "its host's kernel does not count delays: set sysctl kernel.task_delayacct=1 and restart the VM, since only threads"
    " that start afterwards count"
)
NO_GROUP_PRESSURE = (
    "its control group reports no pressure: its host's kernel needs CONFIG_PSI, and psi=1 where that is off"
)
NO_GROUPS = "its host has no control groups of version 2, which alone report pressure"
NO_OWN_GROUP = "its QEMU has no control group of its own: it shares one with other processes"
UNSEEN_GROUP = "its control group lies outside of what the agent sees of the host's"
NOT_MEASURED = (
    "nobody measures it: QEMU does while the VM migrates, and when a person or KubeVirt asks (virsh domdirtyrate-calc)"
)
NO_LEASES_KNOWN = (
    "nobody on the node knows them: libvirt counts leases of its own networks alone, and this one is the bridge of a"
    " NetworkAttachmentDefinition"
)
GUEST_NOT_ASKED = (
    "the agent asks no guest: on plain libvirt that needs VIRTWATCH_GUEST_AGENT=on (`virtwatch watch --guest-agent`)"
)
GUESTS_FORBIDDEN = (
    "the agent may not ask KubeVirt for it: install the ClusterRole virtwatch-agent-guests and its binding"
)
KUBEVIRT_SILENT = "KubeVirt did not tell it when it was asked; it is asked again within a few minutes"
NO_FILE_SYSTEMS = "KubeVirt reports no file systems of it: its guest needs qemu-guest-agent, and some minutes to report"
NO_GUEST_QUESTIONS = "its libvirt driver cannot ask guests"
NO_GUEST_CHANNEL = "it has no channel to a guest agent: add one of type unix with the name org.qemu.guest_agent.0"
GUEST_SILENT = "its guest agent does not answer: start qemu-guest-agent in the guest, or restart it"
GUEST_STANDS = "the VM does not run now, so its guest answers nothing"
GUESTS_HANG = (
    "guest agents of other VMs hang, each in a call that holds a thread of its libvirt, and virtwatch lets no more than"
    " 4: restart qemu-guest-agent in the guests that do not answer"
)
GUESTS_DENIED = "its libvirt refuses the agent a connection that may ask guests: that needs the right to change VMs"
GUEST_UNREACHED = "its libvirt did not answer when it was to ask the guest; it is asked again within a few minutes"
NO_AGENT_FILE_SYSTEMS = "its guest agent reports no file system that can fill, with its size: that needs version 3.0"
NO_LOAD_IN_API = "KubeVirt's API does not give the load of a guest"
NO_LOAD_IN_LIBVIRT = "its libvirt cannot ask a guest for its load: that needs version 11.2"
NO_LOAD_IN_AGENT = "its guest agent does not report its load: that needs qemu-guest-agent 10.0"
ASKING_GUEST = (
    GUEST_NOT_ASKED,
    NO_GUEST_QUESTIONS,
    NO_GUEST_CHANNEL,
    GUEST_SILENT,
    GUEST_STANDS,
    GUESTS_HANG,
    GUESTS_DENIED,
    GUEST_UNREACHED,
    KUBEVIRT_SILENT,
)
