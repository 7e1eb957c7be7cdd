"""Access to the operating system: child processes, ports, sockets, PostgreSQL's system user.

Independent of the suite.
"""
