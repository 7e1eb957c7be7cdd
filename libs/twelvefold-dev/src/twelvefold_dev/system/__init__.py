"""What the operating system gives: child processes, ports, sockets, the user of PostgreSQL.

Knows nothing about the suite.
"""
