"""Rules for passwords beyond their length. Composition is not checked.

NIST SP 800-63B section 5.1.1.2 and OWASP ASVS 5.0 6.2: common and leaked ones, and the account's
own address.
"""

from __future__ import annotations

from dataclasses import dataclass

from twelvefold.contracts.email_address import email_key
from twelvefold.errors import FieldError, UnprocessableContent
from twelvefold.observability.spans import trace_function
from twelvefold.security.common_passwords import CommonPasswords


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """Checks every new password, before the expensive hash."""

    common: CommonPasswords

    @trace_function("users.validate")
    async def check(self, password: str, email: str, pointer: str = "/body/password") -> None:
        """Raise UnprocessableContent naming `pointer`, never the password, where it is refused."""
        address = email_key(email)
        if email_key(password) in (address, address.rpartition("@")[0]):
            raise _refused(pointer, "is the account's own address")
        if await self.common.contains(password):
            raise _refused(pointer, "is among the most common passwords: choose another one")


def _refused(pointer: str, reason: str) -> UnprocessableContent:
    return UnprocessableContent(f"The password {reason}.", errors=[FieldError(pointer, reason)])
