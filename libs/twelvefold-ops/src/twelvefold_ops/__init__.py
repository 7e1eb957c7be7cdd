"""For operators, from outside: backup, restore and rollout. Never in a service's image."""
