"""Images: decoded in a child process with little to lose, checked, and made into variants.

Owns no job and no storage: `worker.service` fetches and stores.
"""
