"""Agents that act in environments and Worlds: explorers for recording, PPO inside and outside Worlds, a planner."""

from worldsim.agents.exploration import StickyRandomPolicy
from worldsim.agents.policies import POLICIES, Policy, make_policy

__all__ = ["POLICIES", "Policy", "StickyRandomPolicy", "make_policy"]
