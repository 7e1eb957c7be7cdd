"""The operations by tag."""
