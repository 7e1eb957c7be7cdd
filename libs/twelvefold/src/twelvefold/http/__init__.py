"""HTTP for all processes of the suite: the app factory, the management app and the server.

Names are imported at first use, so that a worker, which only needs the management app, does not
load FastAPI.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .account_data import AccountDataClients as AccountDataClients
    from .account_data import create_account_data_clients as create_account_data_clients
    from .account_data import create_account_data_router as create_account_data_router
    from .app import create_service_app as create_service_app
    from .callers import CallerNotAllowed as CallerNotAllowed
    from .callers import CallerUnknown as CallerUnknown
    from .callers import require_caller as require_caller
    from .edge.edge import Edge as Edge
    from .edge.edge import create_edge as create_edge
    from .edge.policies import PublicPolicy as PublicPolicy
    from .edge.policies import TokenPolicy as TokenPolicy
    from .edge.policies import admin as admin
    from .edge.policies import anyone as anyone
    from .edge.policies import policies as policies
    from .edge.policies import signed_in as signed_in
    from .features import FeatureRouter as FeatureRouter
    from .internal import InternalClient as InternalClient
    from .internal import raise_for_problem as raise_for_problem
    from .openapi import Problem as Problem
    from .rest.conditional import etag as etag
    from .rest.conditional import is_not_modified as is_not_modified
    from .rest.conditional import parse_if_match as parse_if_match
    from .rest.deprecation import Deprecated as Deprecated
    from .rest.idempotency import IdempotencyStore as IdempotencyStore
    from .rest.idempotency_key import idempotency_table as idempotency_table
    from .rest.pagination import CursorCodec as CursorCodec
    from .rest.pagination import Page as Page
    from .rest.pagination import link_header as link_header

_HOMES = {
    "AccountDataClients": "account_data",
    "CallerNotAllowed": "callers",
    "CallerUnknown": "callers",
    "CursorCodec": "rest.pagination",
    "Deprecated": "rest.deprecation",
    "Edge": "edge.edge",
    "FeatureRouter": "features",
    "IdempotencyStore": "rest.idempotency",
    "InternalClient": "internal",
    "Page": "rest.pagination",
    "Problem": "openapi",
    "PublicPolicy": "edge.policies",
    "TokenPolicy": "edge.policies",
    "admin": "edge.policies",
    "anyone": "edge.policies",
    "create_account_data_clients": "account_data",
    "create_account_data_router": "account_data",
    "create_edge": "edge.edge",
    "create_service_app": "app",
    "etag": "rest.conditional",
    "idempotency_table": "rest.idempotency_key",
    "is_not_modified": "rest.conditional",
    "link_header": "rest.pagination",
    "parse_if_match": "rest.conditional",
    "policies": "edge.policies",
    "raise_for_problem": "internal",
    "require_caller": "callers",
    "signed_in": "edge.policies",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
