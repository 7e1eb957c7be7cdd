"""Emails to account holders: links, changes of the address, security notifications.

Owns what is sent to whom and which link counts. Texts are rendered by worker.
"""
