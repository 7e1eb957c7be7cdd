"""`python -m worker`: runs the service until a signal ends it."""

from twelvefold.service import main
from worker.app import SERVICE

raise SystemExit(main(SERVICE))
