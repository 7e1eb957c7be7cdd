"""Image variants, decoded and encoded in a child process with limits and without secrets.

Owns neither jobs nor storage: `worker.service` fetches and stores.
"""
