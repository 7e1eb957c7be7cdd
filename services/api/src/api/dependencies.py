"""What routes ask for: the use cases of this process, and a page's bounds."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from api.service.image_maintenance import ImageMaintenance
from twelvefold.http.rest.idempotency import IdempotencyStore
from twelvefold.http.rest.pagination import CursorCodec

from .auth import Authenticator
from .event_stream import EventStreams
from .service.accounts import Accounts
from .service.credentials import Credentials
from .service.images import Images
from .service.jobs import Jobs
from .service.reports import Reports


@dataclass(frozen=True, slots=True)
class Container:
    """Made once by the composition root; `app.state.container` of both apps."""

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
PageLimit = Annotated[int, Query(ge=1, le=100, description="Most items of one page.")]
Cursor = Annotated[
    str | None, Query(max_length=512, description="`next_cursor` of the page before.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description=(
            "Of your choice, new for each thing to be done: a repeated request with the same key "
            "and body gets the first answer again, for 24 hours."
        ),
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]
IfMatch = Annotated[
    str | None, Header(description="ETag that the change is based on.", examples=['"v3"'])
]
IfNoneMatch = Annotated[
    str | None, Header(description="ETag that the caller holds already.", examples=['"v3"'])
]
