"""Avatars: users keeps their variants, and this service signs the URLs of their objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from api.users_client import UsersClient
from twelvefold.errors import NotFound
from twelvefold.security.principals import Principal
from twelvefold.storage.object_store import ObjectStore, ReadMethod

PRESIGNED_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Avatars:
    """The use cases; `Images.upload_avatar` stores a new one."""

    users: UsersClient
    store: ObjectStore

    async def url(
        self, principal: Principal, user_id: UUID, variant: str, method: ReadMethod = "GET"
    ) -> str:
        """Return a URL for `method`, valid for 5 minutes.

        Raises Forbidden for another account, existing or not, NotFound without the variant.
        """
        principal.require_self_or_admin(user_id)
        for stored in await self.users.avatar(user_id, bearer=principal.token):
            if stored.name == variant:
                return await self.store.presign(stored.object_key, PRESIGNED_FOR, method=method)
        raise NotFound("The avatar does not exist.")
