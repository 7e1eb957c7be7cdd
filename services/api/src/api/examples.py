"""Examples of shared contracts in the OpenAPI document, by the name of their schema.

tests/contract/test_document.py validates each against its schema.
"""

from typing import Any

_TIME = "2026-03-01T09:30:00Z"
_MAILED_TOKEN = "q7Xw2c9kT0mZr4yVb1nH8sJd"  # noqa: S105  (an example, opens nothing)
_PASSPHRASE = "correct horse battery staple"  # noqa: S105  (likewise)
_USER = {
    "id": "0198c5ef-1d04-7e90-a3c2-5f81d7b640c3",
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "role": "user",
    "email_verified": True,
    "disabled": False,
    "has_avatar": False,
    "created_at": _TIME,
    "updated_at": _TIME,
}
EXAMPLES: dict[str, Any] = {
    "User": _USER,
    "UserCreate": {"email": "ada@example.com", "name": "Ada Lovelace", "password": _PASSPHRASE},
    "UserUpdate": {"name": "Ada King"},
    "TokenPair": {
        "access_token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIwMTk4In0.c2lnbmF0dXJl",
        "token_type": "Bearer",
        "expires_in": 600,
        "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
        "scope": "users:read users:write images:read images:write jobs:read jobs:write",
    },
    "EmailAddress": {"email": "ada@example.com"},
    "EmailConfirmation": {"token": _MAILED_TOKEN},
    "EmailChangeUndo": {"token": _MAILED_TOKEN},
    "PasswordReset": {"token": _MAILED_TOKEN, "password": _PASSPHRASE},
    "Status": {"status": "ok"},
    "UserAdminUpdate": {"role": "admin"},
    "PasswordChange": {"current": _PASSPHRASE, "new": "staple battery horse correct"},
    "EmailChange": {"email": "ada.king@example.com", "password": _PASSPHRASE},
    "SessionList": {
        "items": [
            {
                "id": "0198c5f1-22c0-7d0b-9a55-0c1d2e3f4a5b",
                "created_at": _TIME,
                "last_used_at": _TIME,
                "expires_at": "2026-03-31T09:30:00Z",
                "user_agent": "curl/8.14.1",
                "address": "203.0.113.7",
                "current": True,
            }
        ]
    },
    "DailyAnalyticsReport": {
        "items": [
            {
                "day": "2026-03-01",
                "registrations": 12,
                "active_users": 340,
                "images": 57,
                "jobs": [{"type": "image.process", "status": "succeeded", "count": 57}],
            }
        ]
    },
    "ServerMetadata": {
        "issuer": "twelvefold",
        "token_endpoint": "https://api.example.com/api/v1/auth/token",
        "revocation_endpoint": "https://api.example.com/api/v1/auth/revoke",
        "jwks_uri": "https://api.example.com/.well-known/jwks.json",
        "service_documentation": "https://api.example.com/docs",
        "scopes_supported": ["users:read", "users:write"],
        "response_types_supported": [],
        "grant_types_supported": ["password", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
    },
}
