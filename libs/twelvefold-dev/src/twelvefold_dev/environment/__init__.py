"""What the processes of a stack find: settings, secrets, schemas and the demo account.

Owns no process: `supervisor` starts them.
"""
