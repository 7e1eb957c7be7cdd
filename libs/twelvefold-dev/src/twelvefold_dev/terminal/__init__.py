"""Output of the commands: progress, logs, the table of processes."""
