"""A service's next version, brought into a cluster beside the present one, judged, and kept or undone.

`model` says what a rollout is and what it needs of a cluster, `canary_analysis` decides by figures,
`engine` is the order of the steps, `kubernetes` and `helm` are the cluster, `progress` shows it.
"""
