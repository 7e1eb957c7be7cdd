"""HTTP/1.1 on a connection: where requests begin and end, what a head may say, who is served next.

Owns the parts of which `twelvefold.http.server.protocol` is made. Each bounds what one connection may
cost; none of them knows an app.
"""
