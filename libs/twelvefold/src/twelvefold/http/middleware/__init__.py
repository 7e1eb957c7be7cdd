"""The ASGI layers around every request.

Owns what is done for all routes alike. What one route adds is in `http.rest`.
"""
