"""HTTP in and out, by noun. Routes read, call one use case, and build the response."""

from . import admin, auth, images, internal, jobs, myself, pages, users, well_known

PUBLIC = (
    users.router,
    myself.router,
    admin.router,
    auth.router,
    images.router,
    jobs.router,
    well_known.router,
    pages.router,
)
INTERNAL = (internal.router,)

__all__ = ["INTERNAL", "PUBLIC"]
