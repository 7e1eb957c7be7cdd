"""The rate limits of api beside those of every edge; the settings RATE_LIMIT_<NAME> set them."""

from enum import StrEnum


class AccountLimit(StrEnum):
    """The policies of routes that concern credentials, by their names in RateLimit-Policy."""

    CREDENTIALS = "credentials"  # requests that allow guessing a secret
    REGISTRATION = "registration"  # which reveals whether an address has an account
    MAIL = "mail"  # requests that send email to an address of the caller's choice
