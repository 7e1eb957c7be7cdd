"""The worker's side of the queue: claim, run, renew, settle, maintain.

Owns the execution of jobs. Their rows are changed through `jobs.lease_repository`.
"""
