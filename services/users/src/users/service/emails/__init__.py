"""Emails to account holders: links, changes of the address, security notifications.

Owns recipients and the validity of links. The worker renders the texts.
"""
