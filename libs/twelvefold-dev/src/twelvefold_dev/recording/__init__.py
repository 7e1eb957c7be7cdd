"""The recording of whole requests in the process of a public service, while the console asks for
it.

Owns what a recording contains and how it reaches the console; `console.actions` owns its storage.
Never part of a service's image.
"""
