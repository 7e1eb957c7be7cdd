"""What every HTTP process of the suite shares: the app factory and the conduct at the socket.

Import from the modules by name; this package re-exports nothing, so that a worker that only
needs the management app does not load FastAPI.
"""
