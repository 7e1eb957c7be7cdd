"""The scopes of access tokens, with what they allow."""

from twelvefold.security.principals import ADMIN_SCOPE

SCOPES = {
    "users:read": "Read your account",
    "users:write": "Change your account and its avatar",
    "images:read": "Read your images",
    "images:write": "Upload and delete images",
    "jobs:read": "Watch your jobs",
    "jobs:write": "Start, cancel and retry jobs",
    ADMIN_SCOPE: "Act on the accounts, images and jobs of all users (admins only)",
}
