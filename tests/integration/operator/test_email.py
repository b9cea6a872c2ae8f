"""E-mail over TLS by a real SMTP server: every recipient, one message for many alerts, no secret where it fails."""

import email
import ssl
from collections.abc import Iterator
from email import policy
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session

from lab.process import free_port
from tests.integration.operator.channels import make_channel, make_secret, status, wait_condition
from tests.integration.operator.place import Place, eventually
from virtwatch_api.targets import vm_ref
from virtwatch_kube.paths import resource

PASSWORD = "c4n4ry-p4ssword"


class MailServer:
    """A submission server: STARTTLS, then a login, then messages."""

    def __init__(self, folder: Path):
        self.received: list[Envelope] = []
        ca = trustme.CA()
        self.ca = folder / "ca.pem"
        ca.cert_pem.write_to_path(str(self.ca))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(context)
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ready_timeout=60,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate,
        )

    async def handle_DATA(self, server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert session.ssl
        self.received.append(envelope)
        return "250 OK"

    def message(self, index: int) -> email.message.EmailMessage:
        content = self.received[index].content
        assert isinstance(content, bytes)
        return email.message_from_bytes(content, policy=policy.default)  # type: ignore[return-value]

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    def _authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[MailServer]:
    server = MailServer(tmp_path)
    server.start()
    yield server
    server.stop()


def address(mail: MailServer, password: str = PASSWORD) -> str:
    return (
        f"mailtos://alerts:{password}@example.com:{mail.port}?smtp=localhost&from=alerts@example.com"
        "&to=ann@example.com,bob@example.com&mode=starttls"
    )


def channel(place: Place, url: str, **spec) -> str:
    make_secret(place, "mail", namespace=place.system, url=url)
    return make_channel(place, "mail", namespace=place.system, type="Email", urlSecretRef={"name": "mail"}, **spec)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_recipient_gets_one_message_about_many_alerts(place: Place, mail: MailServer):
    place.operator(SSL_CERT_FILE=str(mail.ca))
    path = channel(place, address(mail), groupWait="10s")  # longer than the three are ever apart
    key = place.cluster_policy(notify=[{"channel": "mail"}])
    agents = [place.agent(f"n{number}") for number in range(3)]
    wait_condition(place, path, "Ready", "NothingSentYet")
    for agent in agents:
        agent.subject = type(agent.subject)("builder", vm_ref(f"uuid-{agent.node}"), agent.node)
        agent.happen(key)
        agent.publish()
    eventually(lambda: len(mail.received) == 2, what="a message for each")
    recipients = sorted(to for envelope in mail.received for to in envelope.rcpt_tos)
    assert recipients == ["ann@example.com", "bob@example.com"]
    message = mail.message(0)
    assert "[3 critical] cpu-starved for 3 VMs on 3 nodes" in message["Subject"]
    body = message.get_body(("plain", "html"))
    assert body is not None
    assert body.get_content().count("cpu-starved fires for VM builder") == 3
    wait_condition(place, path, "Ready", "Delivered")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_wrong_password_is_said_and_not_shown(place: Place, mail: MailServer):
    operator = place.operator(SSL_CERT_FILE=str(mail.ca))
    path = channel(place, address(mail, "wr0ng-c4n4ry"), groupWait="0s")
    key = place.cluster_policy(notify=[{"channel": "mail"}])
    agent = place.agent()
    agent.happen(key)
    agent.publish()
    said = wait_condition(place, path, "Ready", "DeliveryFailed")
    assert "the mail server refuses the login (SMTP 535)" in said
    shown = operator.log.read_text() + str(status(place, path))
    shown += str(place.client.list(resource("v1", "configmaps", namespace=place.system)))
    assert "c4n4ry" not in shown
