"""The internal API of users, under /internal/v1, by noun."""

from .accounts import router as accounts
from .emails import router as emails
from .sessions import router as sessions

ROUTERS = (accounts, sessions, emails)
