"""The ASGI middleware around each request.

Owns what applies to all routes alike. Mechanisms of single routes are in `http.rest`.
"""
