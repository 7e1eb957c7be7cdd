"""What api adds to its OpenAPI document; `http.edge.documentation` says where it goes."""

from api import schemas
from api.examples import EXAMPLES
from api.scopes import SCOPES
from twelvefold.http.edge.documentation import Documentation

_TAGS = {
    "users": "Accounts, their profiles and avatars.",
    "auth": "Tokens, verification of addresses, password resets.",
    "images": "Uploads and the smaller copies made of them.",
    "jobs": "Background work: watch, cancel and retry it.",
    "admin": "Operations for admins.",
    "problems": "What each kind of error means, and what to do.",
    "discovery": "Keys and endpoints for verifiers and OAuth clients.",
}
_JOB_OF_RESPONSE = {
    "get_job": {"job_id": "$response.body#/id"},
    "cancel_job": {"job_id": "$response.body#/id"},
    "watch_job": {"job_id": "$response.body#/id"},
}
_LINKS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("create_user", "201"): {"get_user": {"user_id": "$response.body#/id"}},
    ("get_me", "200"): {
        "get_user": {"user_id": "$response.body#/id"},
        "update_me": {"if-match": "$response.header.ETag"},
    },
    ("put_my_avatar", "202"): _JOB_OF_RESPONSE,
    ("create_job", "202"): _JOB_OF_RESPONSE,
    ("cancel_job", "202"): {"retry_job": {"job_id": "$response.body#/id"}},
    ("create_image", "202"): {
        "get_image": {"image_id": "$response.body#/image/id"},
        "delete_image": {"image_id": "$response.body#/image/id"},
        "get_job": {"job_id": "$response.body#/job/id"},
        "cancel_job": {"job_id": "$response.body#/job/id"},
        "watch_job": {"job_id": "$response.body#/job/id"},
    },
    ("get_image", "200"): {
        "delete_image": {
            "image_id": "$request.path.image_id",
            "if-match": "$response.header.ETag",
        },
    },
    ("list_images", "200"): {"list_images": {"cursor": "$response.body#/next_cursor"}},
    ("list_jobs", "200"): {"list_jobs": {"cursor": "$response.body#/next_cursor"}},
}
DOCUMENTATION = Documentation(
    tags=_TAGS,
    scopes=SCOPES,
    links=_LINKS,
    examples=EXAMPLES,
    schemas=[schemas],
    pages={"UserList": "User", "ImagePage": "Image", "JobPage": "Job"},
)
