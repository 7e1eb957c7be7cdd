"""The worker: runs durable jobs, and owns schema `jobs`."""
