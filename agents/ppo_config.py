"""How an agent learns, by PPO or by imitation. By itself, so that the command line knows it without PyTorch."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class AgentConfig(BaseModel):
    """What all agents have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(default=5e-4, gt=0, description="Of Adam; falls to 0 in a line")
    discount: float = Field(default=0.97, gt=0, le=1, description="What a reward a step later is worth")
    value_weight: float = Field(default=0.5, ge=0, description="Weight of the loss of its value")
    seed: int = Field(default=0, description="Decides its first weights, its episodes and its draws")
    stack: int = Field(default=3, gt=0, description="Frames that it sees at once")
    channels: int = Field(default=32, gt=0, description="Of its first convolution; the others have twice as many")
    hidden: int = Field(default=256, gt=0, description="Units of its hidden layer")


class PPOConfig(AgentConfig):
    """How an agent learns from what it does."""

    steps: int = Field(default=200_000, gt=0, description="Steps to learn from, of all lanes together")
    rollout: int = Field(default=16, gt=1, description="Steps of each lane between two updates")
    # Frames, of Worlds above all, cost more than looking at them again (worldsim/recipes/NOTES.md).
    epochs: int = Field(default=8, gt=0, description="How often an update goes through them")
    minibatches: int = Field(default=4, gt=0, description="Into how many parts it takes them each time")
    gae_lambda: float = Field(default=0.95, ge=0, le=1, description="Of generalised advantages, arXiv 1506.02438")
    clip: float = Field(default=0.2, gt=0, description="How far the odds of an action may move in one update")
    entropy: float = Field(default=0.01, ge=0, description="Weight of the entropy of its actions")
    stay: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the divergence of its actions from those of the agent that it began with (`init`): what "
        "was never recorded a World makes up, rewards too",
    )
    keep: int = Field(
        default=0, ge=0, description="So many agents on the way are kept beside the last: agent-STEPS.safetensors"
    )

    def told(self) -> dict[str, Any]:
        """All that decides what is learned, as plain JSON values; runs from before there was `stay` go on without."""
        return self.model_dump(exclude={"keep"} if self.stay else {"keep", "stay"})


class ImitationConfig(AgentConfig):
    """How an agent learns to do what was done in a recording."""

    passes: int = Field(default=4, gt=0, description="How often it goes through the recording, at most")
    batch: int = Field(default=128, gt=0, description="Steps of the recording in a batch")
