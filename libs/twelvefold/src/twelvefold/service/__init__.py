"""A service as a process: its definition, its backing services and its health.

Owns the order of opening and closing. Sockets and signals belong to `http.server`.
"""
