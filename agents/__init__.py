"""Agents that act in environments and Worlds: policies that explore, for recording."""

from worldsim.agents.exploration import POLICIES, Policy, StickyRandomPolicy, make_policy

__all__ = ["POLICIES", "Policy", "StickyRandomPolicy", "make_policy"]
