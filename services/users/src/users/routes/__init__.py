"""The internal API of users, under /internal/v1, by noun."""

from .accounts import objects
from .accounts import router as accounts
from .admin import router as admin
from .emails import router as emails
from .self_service import router as itself
from .sessions import keys
from .sessions import router as sessions

ROUTERS = (accounts, objects, itself, admin, sessions, keys, emails)
