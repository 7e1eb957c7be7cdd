"""Mail transport: the Mailer protocol and its SMTP and SendGrid implementations.

The worker renders the emails.
"""
