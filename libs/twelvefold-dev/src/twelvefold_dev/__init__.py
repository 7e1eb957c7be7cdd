"""The laptop stack: embedded servers, their supervisor, and its commands.

Never part of a service's image. Kept empty, so that the mail catcher's process stays small.
"""
