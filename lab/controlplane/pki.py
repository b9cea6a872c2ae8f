"""Make the keys of one control plane: its certificate authority, the API server's certificate, token signing."""

import secrets
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from tools.errors import ToolError

# First address of the service range: what pods find in KUBERNETES_SERVICE_HOST.
SERVICE_ADDRESS = "10.0.0.1"
DAYS = "30"


@dataclass(frozen=True, slots=True)
class Pki:
    """The files of a control plane's keys, all in one folder that only their owner may enter."""

    folder: Path
    admin_token: str

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def front_proxy_ca(self) -> Path:
        return self.folder / "front-proxy-ca.crt"

    @property
    def tokens(self) -> Path:
        """Hold the API server's static tokens: one, the admin's, in system:masters."""
        return self.folder / "tokens.csv"

    @property
    def signing_key(self) -> Path:
        """Hold the key that signs ServiceAccount tokens; its public half is `sa.pub`."""
        return self.folder / "sa.key"

    @property
    def verifying_key(self) -> Path:
        return self.folder / "sa.pub"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


def find_pki(folder: Path) -> Pki:
    """Return the keys that another process of the run made."""
    pki = Pki(folder, "")
    return replace(pki, admin_token=pki.tokens.read_text().partition(",")[0])


def make_pki(folder: Path) -> Pki:
    """Make everything again: elliptic keys, so that it takes a fifth of a second."""
    folder.mkdir(mode=0o700)
    pki = Pki(folder, secrets.token_hex(16))
    names = f"DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:{SERVICE_ADDRESS}"
    _certificate(pki, "ca", "/CN=virtwatch-lab", ca=True)
    _certificate(pki, "apiserver", "/CN=kube-apiserver", issuer="ca", extensions=(f"subjectAltName={names}",))
    issue_client_certificate(pki, "kubelet-client", subject="/O=system:masters/CN=kube-apiserver-kubelet-client")
    _certificate(pki, "front-proxy-ca", "/CN=virtwatch-lab-front-proxy", ca=True)
    _certificate(pki, "front-proxy", "/CN=front-proxy-client", issuer="front-proxy-ca")
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pki.signing_key)
    _openssl("ec", "-in", pki.signing_key, "-pubout", "-out", pki.verifying_key)
    pki.tokens.write_text(f"{pki.admin_token},admin,admin,system:masters\n")
    return pki


def make_authority(folder: Path) -> Pki:
    """Make a certificate authority alone, for programs that are no part of a control plane."""
    folder.mkdir(mode=0o700)
    pki = Pki(folder, "")
    _certificate(pki, "ca", "/CN=virtwatch-lab", ca=True)
    return pki


def issue_server_certificate(pki: Pki, name: str, *, names: str) -> None:
    """Make a key and a certificate for these names (`IP:127.0.0.1,DNS:localhost`)."""
    _certificate(pki, name, f"/CN={name}", issuer="ca", extensions=(f"subjectAltName={names}",))


def issue_client_certificate(pki: Pki, name: str, *, subject: str) -> None:
    """Make a key and a certificate by which the API server and kubelets know a user (CN) and its groups (O)."""
    _certificate(pki, name, subject, issuer="ca")


def _certificate(
    pki: Pki, name: str, subject: str, *, ca: bool = False, issuer: str | None = None, extensions: tuple[str, ...] = ()
) -> None:
    signed = ("-CA", pki.certificate(issuer), "-CAkey", pki.key(issuer)) if issuer else ()
    usage = "keyUsage=critical,keyCertSign" if ca else "extendedKeyUsage=serverAuth,clientAuth"
    added = (f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}", usage, *extensions)
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", subject, "-days", DAYS, "-keyout", pki.key(name), "-out", pki.certificate(name), *signed),
        *(part for extension in added for part in ("-addext", extension)),
    )


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
