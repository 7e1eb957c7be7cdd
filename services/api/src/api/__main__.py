"""`python -m api`: run the service until a signal ends it."""

from api.app import SERVICE
from twelvefold.http.server.lifecycle import main

raise SystemExit(main(SERVICE))
