"""Authentication and authorization: tokens, keys, passwords, principals, revocation.

Owns the mechanisms, which services compose; endpoints and tables belong to the services.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .jwks import JwksCache as JwksCache
    from .keys import KeySet as KeySet
    from .passwords import PasswordHasher as PasswordHasher
    from .principals import Principal as Principal
    from .revocation import RevocationList as RevocationList
    from .tokens import TokenIssuer as TokenIssuer
    from .tokens import TokenVerifier as TokenVerifier

_HOMES = {
    "JwksCache": "jwks",
    "KeySet": "keys",
    "PasswordHasher": "passwords",
    "Principal": "principals",
    "RevocationList": "revocation",
    "TokenIssuer": "tokens",
    "TokenVerifier": "tokens",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
