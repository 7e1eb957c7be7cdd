"""For operators, from outside: backup, restore and rollout. Extra [ops], never in a service's image."""
