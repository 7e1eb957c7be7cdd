"""The laptop stack: embedded servers, their supervisor, its commands and the developer console.

Never part of a service's image. The module imports nothing, so that the mail catcher's process
stays small.
"""
