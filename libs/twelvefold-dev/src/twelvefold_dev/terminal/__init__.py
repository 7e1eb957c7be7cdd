"""What the commands print: progress, logs, the table of processes.

Owns no state.
"""
