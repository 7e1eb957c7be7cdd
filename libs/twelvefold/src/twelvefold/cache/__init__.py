"""The cache and its Redis client.

`contracts`, or the service that writes an entry, owns its key.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .cache import Cache as Cache
    from .cache import CacheEntry as CacheEntry
    from .cache import NullCache as NullCache
    from .cache import RedisCache as RedisCache
    from .redis_client import create_redis as create_redis
    from .single_flight import SingleFlight as SingleFlight

_HOMES = {
    "Cache": "cache",
    "CacheEntry": "cache",
    "NullCache": "cache",
    "RedisCache": "cache",
    "SingleFlight": "single_flight",
    "create_redis": "redis_client",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
