"""A tenant's channel reaches the world, not the cluster's inside; no sentence holds anything of a secret."""

import http.client
import smtplib
import socket
import ssl

import pytest
import requests

from virtwatch_api.channel import ChannelType
from virtwatch_operator.notify.explain import explain
from virtwatch_operator.notify.guard import Guard, parse_networks, read_guard
from virtwatch_operator.notify.redact import redact
from virtwatch_operator.notify.schemes import scheme_problem

GUARD = Guard(parse_networks(["10.0.0.0/8", "fd00::/8"]))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1%eth0", "224.0.0.1"),
        *("10.96.0.1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
        *("100.100.100.200", "168.63.129.16", "fd00:ec2::254"),
        *("::127.0.0.1", "localhost", "/run/sock", ""),
    ],
)
def test_a_tenants_channel_may_not_go_there(address):
    assert GUARD.refuses(address)
    assert read_guard(GUARD.encode()).refuses(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "192.168.1.1"])
def test_everywhere_else_it_may(address):
    assert not GUARD.refuses(address)


def test_an_admins_channel_is_free():
    assert not Guard(free=True).refuses("127.0.0.1")


CANARY = "c4n4ry-S3cret"


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPAuthenticationError(535, f"no {CANARY}".encode()),
        smtplib.SMTPRecipientsRefused({CANARY: (550, CANARY.encode())}),
        smtplib.SMTPServerDisconnected(CANARY),
        requests.exceptions.ConnectionError(OSError(CANARY), CANARY),
        requests.exceptions.ReadTimeout(CANARY),
        socket.gaierror(-2, CANARY),
        ssl.SSLError(1, CANARY),
        http.client.BadStatusLine(CANARY),
        ConnectionRefusedError(111, CANARY),
        ValueError(CANARY),
    ],
)
def test_a_fault_is_explained_without_its_own_words(error):
    assert CANARY not in explain(error)
    assert len(explain(error)) > 10


def test_each_part_of_a_secret_is_masked():
    url = "mailtos://ann:p%40ss-w0rd@mail.example.com?to=boss@example.com"
    said = "mail.example.com refuses ann with p@ss-w0rd, that is p%40ss-w0rd, for boss@EXAMPLE.com"
    assert redact(said, url) == "… refuses ann with …, that is …, for …@…"
    assert redact("SMTP 535", "mailtos://ann:secret@example.com?smtp=mail.example.com") == "SMTP 535"


@pytest.mark.parametrize(
    ("type_", "url", "expected"),
    [
        (ChannelType.EMAIL, "mailtos://user:pass@example.com", ""),
        (ChannelType.EMAIL, "json://example.com", "none for type Email"),
        (ChannelType.EMAIL, "not an address", "holds no address"),
        (ChannelType.CHAT, "slack://a/b/c", ""),
        (ChannelType.CHAT, "dbus://", "the operator's own machine"),
        (ChannelType.PHONE, "twilio://sid:token@+15551234567/+15557654321?method=call", ""),
        (ChannelType.PHONE, "twilio://sid:token@+15551234567/+15557654321", "method=call"),
        (ChannelType.WEBHOOK, "jsons://example.com/hook", ""),
    ],
)
def test_an_address_must_belong_to_the_channels_type(type_, url, expected):
    problem = scheme_problem(type_, url)
    assert expected in problem
    assert bool(problem) == bool(expected)
    assert url not in problem
