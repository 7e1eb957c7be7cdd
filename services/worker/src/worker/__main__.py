"""`python -m worker`: run the service until a signal ends it."""

from twelvefold.http.server.lifecycle import main
from worker.app import SERVICE

raise SystemExit(main(SERVICE))
