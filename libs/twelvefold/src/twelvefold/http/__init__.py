"""HTTP for all processes of the suite: the app factory, the management app and the server.

Re-exports no names, so that a worker, which only needs the management app, does not load FastAPI.
"""
