"""Mechanisms of REST routes: problems, pagination, conditional and idempotent requests.

Owns mechanisms that single routes use. What applies to all routes is in `http.middleware`.
"""
