"""The data sources of the console: jobs, logs, emails, metrics and processes.

Each module reads data that another part of the stack owns.
"""
