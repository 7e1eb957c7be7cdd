"""What a REST route is made of: problems, pagination, conditional and idempotent requests.

Owns protocol mechanisms, no route. Layers around all routes are in `http.middleware`.
"""
