"""Which passwords are refused although they are long enough. Composition is nobody's business.

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
    """Asked wherever a password is chosen, before the work of a hash."""

    common: CommonPasswords

    @trace_function("users.validate")
    async def check(self, password: str, email: str, pointer: str = "/body/password") -> None:
        """Raises Invalid naming `pointer`, never the password."""
        address = email_key(email)
        if email_key(password) in (address, address.rpartition("@")[0]):
            raise _refused(pointer, "is the account's own address")
        if await self.common.contains(password):
            raise _refused(pointer, "is among the most common passwords: choose another one")


def _refused(pointer: str, reason: str) -> UnprocessableContent:
    return UnprocessableContent(f"the password {reason}", errors=[FieldError(pointer, reason)])
