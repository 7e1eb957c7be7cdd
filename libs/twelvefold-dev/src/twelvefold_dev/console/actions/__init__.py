"""What the console does besides showing: processes, recordings, requests sent again, link checks.

Owns the effects; `endpoints` owns parameters and responses.
"""
