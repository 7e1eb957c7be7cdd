"""`python -m users`: run the service until a signal ends it."""

from twelvefold.http.server.lifecycle import main
from users.app import SERVICE

raise SystemExit(main(SERVICE))
