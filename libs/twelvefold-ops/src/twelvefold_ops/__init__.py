"""Commands for operators: backup, restore and rollout. No service's image contains them."""
