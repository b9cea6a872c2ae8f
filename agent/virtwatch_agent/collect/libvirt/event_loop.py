"""libvirt's own event loop on one thread, for the whole process.

There can be one, and it must be there before the first connection is opened.
"""

import logging
import threading

import libvirt

_LOG = logging.getLogger(__name__)
_lock = threading.Lock()
_running = False


def run_event_loop() -> None:
    """Start the loop unless it runs. It ends with the process: libvirt has no way to unregister it."""
    global _running  # noqa: PLW0603 - libvirt's registration is global too
    with _lock:
        if _running:
            return
        # libvirt prints each error to stderr unless it is given a handler; what matters is raised or reported as well.
        libvirt.registerErrorHandler(_log_error, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_loop, name="libvirt-events", daemon=True).start()
        _running = True


def _loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            _LOG.warning("libvirt's event loop failed and will be tried again: %s", error)


def _log_error(_: object, error: tuple[object, ...]) -> None:
    _LOG.debug("libvirt: %s", error[2])
