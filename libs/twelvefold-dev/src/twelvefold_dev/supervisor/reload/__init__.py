"""Reload while the stack runs: the watch of the sources, and what a change leads to.

`fleet` owns the processes and how one replaces another.
"""
