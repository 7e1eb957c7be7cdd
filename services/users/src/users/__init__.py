"""The service that owns accounts, credentials and sessions, and issues tokens."""
