"""Which of Apprise's addresses belong to which kind of channel. Pure."""

from collections.abc import Mapping

from virtwatch_api.channel import ChannelType

_SCHEMES: Mapping[ChannelType, tuple[str, ...]] = {
    ChannelType.EMAIL: (
        *("mailto", "mailtos", "azure", "o365", "brevo", "mailersend", "mailgun", "postmark", "resend", "sendgrid"),
        *("sendpulse", "ses", "smtp2go", "sparkpost"),
    ),
    ChannelType.SMS: (
        *("atalk", "bulksms", "bulkvs", "burstsms", "clickatell", "clicksend", "d7sms", "exotel", "46elks", "elks"),
        *("freemobile", "httpsms", "kavenegar", "kumulos", "msgbird", "msg91", "octopush", "plivo", "seven", "sfr"),
        *("sinch", "smpp", "smpps", "smseagle", "smseagles", "smsmanager", "smsmgr", "sns", "threema", "twilio"),
        *("voipms", "vonage", "nexmo"),
    ),
    ChannelType.PHONE: (
        # A provider's own call, or a service that phones whoever is on call.
        *("twilio", "opsgenie", "pagerduty", "pagertree", "signl4", "spike", "splunk", "victorops"),
    ),
    ChannelType.WEBHOOK: ("json", "jsons", "xml", "xmls", "form", "forms"),
}
# What these do, they do to the machine that the operator runs on.
_LOCAL = frozenset(
    ("blink1", "dbus", "glib", "gio", "gnome", "kde", "qt", "macosx", "syslog", "windows", "file", "memory")
)


def scheme_problem(type_: ChannelType, url: str) -> str:
    """Return why an address does not belong to a kind of channel, empty where it does; it shows nothing of it."""
    scheme, found, _ = url.strip().partition("://")
    scheme = scheme.lower()
    if not found or not scheme or " " in scheme:
        return 'holds no address; it should look like "scheme://…", as in "mailtos://user:password@mail.example.com"'
    known = _SCHEMES.get(type_)
    if known is None:
        return "holds an address that acts on the operator's own machine" if scheme in _LOCAL else ""
    if scheme not in known:
        return f"holds an address that is none for type {type_}, whose schemes are {', '.join(known)}"
    if type_ is ChannelType.PHONE and scheme == "twilio" and "method=call" not in url.lower():
        return "holds an address that sends an SMS; for a call it needs the parameter method=call"
    return ""
