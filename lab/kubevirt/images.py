"""KubeVirt's five images, made of its programs and Debian's libvirt and QEMU, in one archive."""

from pathlib import Path

from lab.kubevirt.binaries import REGISTRY, TAG, kubevirt
from tools.cache import cached
from tools.images import archive
from tools.images.archive import File, Image
from tools.images.base import debian
from tools.progress import step

QEMU_UID = 107
PACKAGES = (
    "busybox-static",
    "iproute2",
    "libvirt-clients",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "nftables",
    "procps",
    "qemu-system-x86",
    "qemu-utils",
    "xorriso",
)
DRIVERS = "usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_"
# Debian's differ from KubeVirt's in this. /var/run: virt-handler walks /proc/PID/root, where an absolute link
# would leave the container. Drivers and emulators that nobody asks for: probing them would take libvirt 40 s.
CUSTOMIZE = (
    'ln -sfn ../run "$1/var/run" && ln -sfn ../run/lock "$1/var/lock"',
    f'cd "$1" && for driver in interface network nodedev nwfilter storage; do rm -f {DRIVERS}$driver.so; done',
    'rm -f "$1/usr/bin/qemu-system-i386" "$1/usr/bin/qemu-system-x86_64-microvm"',
    'mkdir -p "$1/var/log/libvirt/qemu" "$1/var/lib/libvirt/qemu" "$1/var/cache/libvirt/qemu" "$1/run/libvirt"',
    'mkdir -p "$1/var/lib/kubevirt-node-labeller" "$1/usr/lib64/qemu-kvm" "$1/etc/libvirt/hooks"',
    'touch "$1/etc/libvirt/virtlogd.conf"',
)
PASSWD = f"""\
root:x:0:0:root:/root:/bin/bash
qemu:x:{QEMU_UID}:{QEMU_UID}::/home/qemu:/bin/bash
libvirt-qemu:x:{QEMU_UID}:{QEMU_UID}::/home/qemu:/bin/bash
"""
GROUP = f"root:x:0:\nkvm:x:36:\nqemu:x:{QEMU_UID}:\nlibvirt-qemu:x:{QEMU_UID}:\n"
# Debian has no virtqemud: it is libvirtd under that name, and with the socket names that KubeVirt dials.
VIRTQEMUD = """\
#!/bin/bash
if [ "$(id -u)" = 0 ]; then folder=/run/libvirt; else folder=${XDG_RUNTIME_DIR:-/run}/libvirt; fi
mkdir -p "$folder" 2> /dev/null
ln -sfn libvirt-sock "$folder/virtqemud-sock"
ln -sfn libvirt-admin-sock "$folder/virtqemud-admin-sock"
exec /usr/lib/kubevirt/virtqemud "$@"
"""
# capabilities(7), security.capability: version 2 and "effective", then permitted: CAP_NET_BIND_SERVICE (10).
NET_BIND_SERVICE = (0x02000001).to_bytes(4, "little") + (1 << 10).to_bytes(4, "little") + bytes(12)
NONROOT = b"nonroot-user:x:1001:1001::/home/nonroot-user:/bin/bash\n"
LAUNCHER_PROGRAMS = ("virt-launcher", "virt-probe", "virt-tail", "virt-freezer", "container-disk")


def kubevirt_base() -> Path:
    """Return the layer on which virt-launcher and virt-handler stand."""
    return debian("kubevirt", PACKAGES, *CUSTOMIZE)


def kubevirt_images() -> Path:
    """Return the archive of all five images; their programs and Debian's packages come from the cache where it can."""
    programs, base = kubevirt(), kubevirt_base()
    inputs: list[bytes | Path] = [
        programs.name.encode(),
        base.parent.name.encode(),
        Path(__file__),
        Path(archive.__file__),
    ]

    def build(folder: Path) -> None:
        with step("Making KubeVirt's images"):
            _make(folder, programs, base)

    return cached("image-kubevirt", inputs, build) / "image.tar"


def _make(folder: Path, programs: Path, base: Path) -> None:
    common = archive.write_layer(folder / "common.tar", _common(programs / "files"))
    launcher = archive.write_layer(folder / "launcher.tar", _launcher(programs))
    handler = archive.write_layer(folder / "handler.tar", _programs(programs, "virt-handler", "virt-chroot"))
    images = [
        Image(name=_name("virt-launcher"), layers=[base, common, launcher], entrypoint=["/usr/bin/virt-launcher"]),
        Image(name=_name("virt-handler"), layers=[base, common, handler], entrypoint=["/usr/bin/virt-handler"]),
    ]
    for name in ("virt-operator", "virt-api", "virt-controller"):
        files = [
            *(File(path=path) for path in ("/etc", "/usr", "/usr/bin")),
            File(path="/tmp", mode=0o1777),
            File(path="/etc/passwd", source=NONROOT, mode=0o644),
            *_programs(programs, name),
        ]
        layer = archive.write_layer(folder / f"{name}.tar", files)
        images.append(Image(name=_name(name), layers=[layer], entrypoint=[f"/usr/bin/{name}"], user="1001"))
    archive.write_archive(folder / "image.tar", *images)
    for layer in {layer for image in images for layer in image.layers} - {base}:
        layer.unlink()


def _name(program: str) -> str:
    return f"{REGISTRY}/{program}:{TAG}"


def _programs(folder: Path, *names: str) -> list[File]:
    return [File(path=f"/usr/bin/{name}", source=folder / name) for name in names]


def _common(files: Path) -> list[File]:
    def config(path: str, name: str, mode: int = 0o644) -> File:
        return File(path=path, source=files / name, mode=mode)

    return [
        File(path="/etc/passwd", source=PASSWD.encode(), mode=0o644),
        File(path="/etc/group", source=GROUP.encode(), mode=0o644),
        config("/etc/nsswitch.conf", "nsswitch.conf"),
        config("/etc/libvirt/qemu.conf", "qemu.conf"),
        config("/etc/libvirt/virtqemud.conf", "virtqemud.conf"),
        config("/etc/libvirt/hooks/qemu", "qemu", 0o755),
        File(path="/usr/lib/kubevirt"),
        # The process keeps this name, by which KubeVirt finds it.
        File(path="/usr/lib/kubevirt/virtqemud", link="../../sbin/libvirtd"),
        File(path="/usr/sbin/virtqemud", source=VIRTQEMUD.encode()),
    ]


def _launcher(programs: Path) -> list[File]:
    # The node's labels shall say what emulation offers, whatever KVM this machine has.
    labeller = (programs / "files" / "node-labeller.sh").read_bytes().replace(b"VIRTTYPE=kvm", b"VIRTTYPE=qemu")
    monitor = programs / "virt-launcher-monitor"
    return [
        *_programs(programs, *LAUNCHER_PROGRAMS),
        File(path="/usr/bin/node-labeller.sh", source=labeller),
        File(path="/usr/bin/virt-launcher-monitor", source=monitor, capabilities=NET_BIND_SERVICE),
    ]
