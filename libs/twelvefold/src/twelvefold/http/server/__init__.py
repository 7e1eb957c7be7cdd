"""Sockets, signals, connections: from start to drained shutdown.

Owns the event loop of a service. What a request passes through is in `http.middleware`.
"""
