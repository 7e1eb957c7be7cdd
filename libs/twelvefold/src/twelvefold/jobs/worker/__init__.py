"""The worker's side of the queue: claims, runs, heartbeats, settlements, maintenance.

Owns the execution of jobs. `jobs.lease_repository` owns the statements that change their rows.
"""
