"""Where the console reads from: jobs, logs, mails, metrics, processes.

Owns nothing: each module reads what the stack keeps.
"""
