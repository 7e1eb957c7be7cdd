"""The dependency of routes on the use cases of this process."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.service.image_maintenance import ImageMaintenance
from twelvefold.http.edge.authenticator import Authenticator
from twelvefold.http.rest.idempotency import IdempotencyStore
from twelvefold.http.rest.pagination import CursorCodec

from .event_stream import EventStreams
from .service.accounts import Accounts
from .service.avatars import Avatars
from .service.credentials import Credentials
from .service.images import Images
from .service.jobs import Jobs
from .service.reports import Reports


@dataclass(frozen=True, slots=True)
class ImageFeature:
    """The use cases of the feature `enable_images`."""

    images: Images
    avatars: Avatars


@dataclass(frozen=True, slots=True)
class Container:
    """The use cases of one process; `app.state.container` of both apps."""

    authenticator: Authenticator
    accounts: Accounts
    credentials: Credentials
    jobs: Jobs
    reports: Reports
    maintenance: ImageMaintenance
    streams: EventStreams
    image_cursors: CursorCodec
    job_cursors: CursorCodec
    user_cursors: CursorCodec
    keys: IdempotencyStore
    issuer: str
    public_url: str | None = None
    image_feature: ImageFeature | None = None

    @property
    def images(self) -> Images:
        return self._image_feature.images

    @property
    def avatars(self) -> Avatars:
        return self._image_feature.avatars

    @property
    def _image_feature(self) -> ImageFeature:
        if self.image_feature is None:
            raise RuntimeError("images are disabled: their routes must be left out")
        return self.image_feature


# async: FastAPI runs a plain function in a thread, which costs more than most requests.
async def _container(request: Request) -> Container:
    container: Container = request.app.state.container
    return container


Services = Annotated[Container, Depends(_container)]
