"""Use cases of the worker. Each is idempotent, because jobs are delivered at least once.

Keys of external effects derive from the job's id, so that a second run has no new effect: the
Message-ID of an email, the keys of objects, a report to an owner.
"""
