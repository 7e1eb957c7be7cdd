"""`python -m users`: runs the service until a signal ends it."""

from twelvefold.service import main
from users.app import SERVICE

raise SystemExit(main(SERVICE))
