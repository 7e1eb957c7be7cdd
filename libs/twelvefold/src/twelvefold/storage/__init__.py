"""Object storage: the ObjectStore protocol and its S3 implementation.

Owns no object key: keys belong to `contracts.images`.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .object_store import ObjectStore as ObjectStore
    from .object_store import S3ObjectStore as S3ObjectStore
    from .object_store import StoredObject as StoredObject

_HOMES = {
    "ObjectStore": "object_store",
    "S3ObjectStore": "object_store",
    "StoredObject": "object_store",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
