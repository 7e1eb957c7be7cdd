"""PostgreSQL: connections, transactions, migrations, and the commands that run them.

Owns no table: each service owns its own, and `jobs` owns the queue's.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .database import CommitOutcomeUnknown as CommitOutcomeUnknown
    from .database import Database as Database
    from .database import Reader as Reader
    from .database import Transaction as Transaction
    from .database import retry_once as retry_once
    from .migrations import bootstrap as bootstrap
    from .migrations import is_ready as is_ready
    from .migrations import upgrade as upgrade
    from .revisions import JOBS_MIGRATIONS as JOBS_MIGRATIONS
    from .revisions import Migrations as Migrations
    from .revisions import SchemaError as SchemaError

_HOMES = {
    "CommitOutcomeUnknown": "database",
    "Database": "database",
    "JOBS_MIGRATIONS": "revisions",
    "Migrations": "revisions",
    "Reader": "database",
    "SchemaError": "revisions",
    "Transaction": "database",
    "bootstrap": "migrations",
    "is_ready": "migrations",
    "retry_once": "database",
    "upgrade": "migrations",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
