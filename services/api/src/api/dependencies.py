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
from .service.credentials import Credentials
from .service.images import Images
from .service.jobs import Jobs
from .service.reports import Reports


@dataclass(frozen=True, slots=True)
class Container:
    """The use cases of one process; `app.state.container` of both apps."""

    authenticator: Authenticator
    accounts: Accounts
    credentials: Credentials
    images: Images
    jobs: Jobs
    reports: Reports
    maintenance: ImageMaintenance
    streams: EventStreams
    image_cursors: CursorCodec
    job_cursors: CursorCodec
    user_cursors: CursorCodec
    keys: IdempotencyStore
    issuer: str
    analytics: bool
    public_url: str | None = None


# async: FastAPI runs a plain function in a thread, which costs more than most requests.
async def _container(request: Request) -> Container:
    container: Container = request.app.state.container
    return container


Services = Annotated[Container, Depends(_container)]
