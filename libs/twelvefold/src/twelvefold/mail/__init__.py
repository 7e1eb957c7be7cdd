"""Mail transport: the Mailer protocol and its SMTP and SendGrid implementations.

Owns no text: emails are rendered by worker.
"""
