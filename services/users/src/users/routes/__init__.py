"""The internal API of users, under /internal/v1, by noun."""

from .accounts import router as accounts
from .admin import router as admin
from .analytics import router as analytics
from .avatars import objects
from .avatars import router as avatars
from .emails import router as emails
from .self_service import router as itself
from .sessions import keys
from .sessions import router as sessions

ROUTERS = (accounts, avatars, objects, itself, admin, analytics, sessions, keys, emails)
