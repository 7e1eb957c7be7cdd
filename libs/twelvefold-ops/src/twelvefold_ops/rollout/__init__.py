"""Deploy a new version of a service beside the old one, compare the two, and promote or roll back.

`model` defines a rollout and the port to the cluster, `engine` orders the steps, `release_watcher`
waits for pods and verdicts, `canary_analysis` computes verdicts, `kubernetes` and `helm` implement
the port, `progress` displays the rollout, `command` is the command line.
"""
