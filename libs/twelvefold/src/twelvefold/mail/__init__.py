"""Mail transport: the Mailer protocol and its SMTP and SendGrid implementations.

The worker renders the emails.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .mailer import Email as Email
    from .mailer import Mailer as Mailer
    from .mailer import SmtpMailer as SmtpMailer
    from .sendgrid import SendGridMailer as SendGridMailer

_HOMES = {
    "Email": "mailer",
    "Mailer": "mailer",
    "SendGridMailer": "sendgrid",
    "SmtpMailer": "mailer",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
