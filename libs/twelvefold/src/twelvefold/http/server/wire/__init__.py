"""HTTP/1.1 on a connection: framing, the head of a request, parsing and pipelining.

Owns the parts of `http.server.protocol`. Each bounds the cost of one connection, and none of them
depends on an app.
"""
