"""Mail: the Mailer protocol with its SMTP and SendGrid implementations, and emails from templates.

Owns layout and brand. The texts are templates in the package of the service that sends them.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .brand import Brand as Brand
    from .mailer import Email as Email
    from .mailer import Mailer as Mailer
    from .mailer import SmtpMailer as SmtpMailer
    from .rendering import render_email as render_email
    from .sendgrid import SendGridMailer as SendGridMailer

_HOMES = {
    "Brand": "brand",
    "Email": "mailer",
    "Mailer": "mailer",
    "SendGridMailer": "sendgrid",
    "SmtpMailer": "mailer",
    "render_email": "rendering",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
