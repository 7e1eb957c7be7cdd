"""The service that runs durable jobs and owns schema `jobs`."""
