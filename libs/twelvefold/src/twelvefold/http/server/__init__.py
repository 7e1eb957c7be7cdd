"""Sockets, signals and connections, from the start to the drained shutdown.

Owns the event loop of a service. The middleware around requests is in `http.middleware`.
"""
