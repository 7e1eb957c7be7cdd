"""TLS towards PostgreSQL: which certificates are trusted and shown.

Owns the context. The parameters come from the URL (`settings.database_url`), and whether TLS is
required outside development is decided in `settings`.
"""

from __future__ import annotations

import ssl

from twelvefold.settings.database_url import SYSTEM_ROOTS, DatabaseUrlParts


def create_tls_context(url: DatabaseUrlParts) -> ssl.SSLContext:
    """Verify as libpq does: `require` verifies only where roots are given, as verify-ca."""
    root = url.parameters.get("sslrootcert")
    context = ssl.create_default_context(cafile=None if root == SYSTEM_ROOTS else root)
    context.check_hostname = url.ssl_mode == "verify-full"
    if url.ssl_mode == "require" and root is None:
        context.verify_mode = ssl.CERT_NONE
    if certificate := url.parameters.get("sslcert"):
        parameters = url.parameters
        context.load_cert_chain(
            certificate, parameters.get("sslkey"), parameters.get("sslpassword", "")
        )
    return context
