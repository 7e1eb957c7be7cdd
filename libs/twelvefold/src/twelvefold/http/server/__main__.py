"""`python -m twelvefold.http.server NAME`: run an installed service until a signal ends it.

`twelvefold run NAME` does the same. This module imports no library of the command line, which would
stay in the memory of every process.
"""

import sys
from importlib.metadata import entry_points

from .lifecycle import main

try:
    (entry,) = entry_points(group="twelvefold.services", name=sys.argv[1])
except (IndexError, ValueError):
    sys.exit("name one installed service")
raise SystemExit(main(entry.load()))
