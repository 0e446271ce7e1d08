"""The dynamics and the sampler: who sees whom, the cache, the caps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.forcing import ForcingConfig, mix, sample_levels
from worldsim.model.layers import place_features
from worldsim.model.motion import POINTS
from worldsim.model.sampler import Memory, remember_context, sample, sample_next
from worldsim.model.text import TEXT_LENGTH, encode_bytes

CONFIG = DynamicsConfig(
    latent_channels=6, action_dim=5, policy_logits=7, channels=32, heads=2, layers=4, time_every=2, text_every=2,
    condition_channels=32, text_channels=64, text_layers=1, sees_motion=True,
)  # fmt: skip
OPEN = CONFIG.model_copy(update={"causal": False, "sees_motion": False})
GRID = (2, 3)
NOISE = 0.1


def untrained(config: DynamicsConfig, seed: int = 0) -> Dynamics:
    """A network without the zeros of the start of training, which hide what depends on what."""
    torch.manual_seed(seed)
    model = Dynamics(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    if config.causal:
        for linear in (model.motion.whole, model.motion.parts):  # a wide flow over noise multiplies roundings
            linear.weight.data *= 0.05
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def dynamics() -> Dynamics:
    return untrained(CONFIG)


class Clip:
    """Random inputs for `frames` frames of `lanes` lanes."""

    def __init__(self, frames: int, lanes: int = 2, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.latents = torch.randn(lanes, frames, *GRID, CONFIG.latent_channels, generator=draw)
        self.gaussian = torch.randn(self.latents.shape, generator=draw)
        self.actions = torch.randn(lanes, frames, CONFIG.action_dim, generator=draw)
        self.has_action = torch.ones(lanes, frames, dtype=torch.bool)
        self.has_action[:, 0] = False
        self.level = torch.rand(lanes, frames, generator=draw)
        self.motion = torch.randn(lanes, frames, *[POINTS * side for side in GRID], 2, generator=draw)
        self.previous = torch.cat([torch.zeros_like(self.latents[:, :1]), self.latents[:, :-1]], 1)

    def predict(self, model: Dynamics, prompt: str | None = None) -> torch.Tensor:
        lanes = len(self.latents)
        text = model.encode_text(encode_bytes([prompt] * lanes))
        noisy = mix(self.latents, self.gaussian, self.level)
        previous, there = (self.previous, self.has_action) if model.config.causal else (None, None)
        step = torch.zeros_like(self.level)
        return model(
            noisy, self.level, step, self.actions, self.has_action, text, previous, there, motion=self.motion,
        ).latents  # fmt: skip


def test_the_causal_mask_hides_the_future_and_the_open_one_does_not(dynamics: Dynamics) -> None:
    clip, changed = Clip(5), Clip(5)
    changed.latents = clip.latents.clone()
    changed.latents[:, 4] += 1
    changed.actions[:, 4] += 1
    everyone = untrained(OPEN)
    causal, open_ = clip.predict(dynamics), clip.predict(everyone)
    torch.testing.assert_close(causal[:, :4], changed.predict(dynamics)[:, :4])
    assert not torch.allclose(causal[:, 4], changed.predict(dynamics)[:, 4])
    assert not torch.allclose(open_[:, 0], changed.predict(everyone)[:, 0], atol=1e-3)


@pytest.mark.parametrize("changed", ["actions", "level", "previous", "motion", "gaussian"])
def test_every_input_of_a_frame_matters(dynamics: Dynamics, changed: str) -> None:
    clip, other = Clip(3), Clip(3)
    value = getattr(other, changed).clone()
    value[:, 2] = value[:, 2] * 0.5 + 0.1
    setattr(other, changed, value)
    assert not torch.allclose(clip.predict(dynamics)[:, 2], other.predict(dynamics)[:, 2], atol=1e-4)


def test_a_network_learns_rewards_by_other_values_and_keeps_all_else(dynamics: Dynamics) -> None:
    assert dynamics.with_rewards([0.0]) is dynamics
    other = dynamics.with_rewards([0.0, 0.5, 1.0])
    noisy = torch.randn(2, 3, *GRID, CONFIG.latent_channels)
    level, no = torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    actions, text = torch.randn(2, 3, CONFIG.action_dim), dynamics.encode_text(encode_bytes([None] * 2))
    before, after = (net(noisy, level, level, actions, ~no, text, noisy, ~no) for net in (dynamics, other))
    for name in ("latents", "end", "policy"):
        torch.testing.assert_close(getattr(before, name), getattr(after, name))
    assert before.reward.shape == (2, 3, 1)
    assert after.reward.shape == (2, 3, 3)
    assert not after.reward.any()


def test_text_matters_and_no_text_is_the_same_as_empty_text(dynamics: Dynamics) -> None:
    clip = Clip(2)
    torch.testing.assert_close(clip.predict(dynamics, prompt=None), clip.predict(dynamics, prompt=""))
    assert not torch.allclose(clip.predict(dynamics), clip.predict(dynamics, prompt="snow"), atol=1e-4)


def cached(dynamics: Dynamics, clip: Clip, context: int, steps: int, shortcut: bool) -> torch.Tensor:
    """The frame after `context` ones, made with a cache."""
    lanes, frames = clip.latents.shape[:2]
    memory = Memory.empty(dynamics, lanes, GRID, length=frames)
    remember_context(
        dynamics, memory, clip.latents[:, :context], clip.actions[:, 1:context], clip.gaussian[:, :context], NOISE,
        clip.motion[:, :context],
    )  # fmt: skip
    action, gaussian, motion = (part[:, context] for part in (clip.actions, clip.gaussian, clip.motion))
    sample_next(dynamics, memory, action, gaussian, motion, steps=steps, shortcut=shortcut)
    return memory.latents


@pytest.mark.parametrize(("steps", "shortcut"), [(1, False), (2, True), (4, False)])
def test_cached_sampling_equals_uncached(steps: int, shortcut: bool) -> None:
    dynamics = untrained(CONFIG)
    clip = Clip(6)
    text = dynamics.encode_text(encode_bytes([None, None]))
    for context in range(1, 6):
        caps = torch.zeros(2, context + 1)
        caps[:, context] = 1
        now = slice(0, context + 1)
        made, _ = sample(
            dynamics, clip.latents[:, now], caps, clip.gaussian[:, now], clip.actions[:, now], clip.has_action[:, now],
            text, steps=steps, shortcut=shortcut, context_noise=NOISE, motion=clip.motion[:, now],
        )  # fmt: skip
        one = cached(dynamics, clip, context, steps, shortcut)
        torch.testing.assert_close(one, made[:, context], atol=1e-4, rtol=1e-4)


def test_what_was_made_is_remembered_as_its_last_pass_left_it(dynamics: Dynamics) -> None:
    """Made from noise in one pass, frames are seen later as by a causal pass over all of them as noise."""
    clip, made = Clip(5), []
    memory = Memory.empty(dynamics, 2, GRID, length=5)
    remember_context(
        dynamics, memory, clip.latents[:, :1], clip.actions[:, :0], clip.gaussian[:, :1], 1.0, clip.motion[:, :1]
    )
    for frame in range(1, 5):
        action, gaussian, motion = (part[:, frame] for part in (clip.actions, clip.gaussian, clip.motion))
        sample_next(dynamics, memory, action, gaussian, motion, steps=1)
        made.append(memory.latents)
        memory.latents = clip.latents[:, frame]  # as where a tokenizer carries: the next goes on from another
    clip.level = torch.ones(2, 5)
    together = clip.predict(dynamics)
    torch.testing.assert_close(torch.stack(made, 1), together[:, 1:], atol=1e-4, rtol=1e-4)


def test_a_full_ring_forgets_the_oldest_frames(dynamics: Dynamics) -> None:
    """With one temporal layer nothing older than the ring reaches the present, by no path."""
    single = untrained(CONFIG.model_copy(update={"layers": 2}), seed=1)
    length = 3

    def last(changed: int, seed: int) -> torch.Tensor:
        clip = Clip(8)
        clip.latents[:, changed] = Clip(1, seed=seed).latents[:, 0]
        memory = Memory.empty(single, 2, GRID, length)
        for frame in range(8):
            memory.latents = clip.latents[:, frame]
            action, gaussian, motion = (part[:, frame] for part in (clip.actions, clip.gaussian, clip.motion))
            sample_next(single, memory, action, gaussian, motion, steps=1)
        assert memory.cache.visible(1).sum(-1).tolist() == [[length], [length]]
        return memory.latents

    torch.testing.assert_close(last(0, seed=11), last(0, seed=12))
    assert not torch.allclose(last(5, seed=11), last(5, seed=12), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(pattern=st.lists(st.sampled_from([0.0, 0.3, 0.7, 1.0]), min_size=4, max_size=4))
def test_given_frames_are_never_overwritten_and_the_others_are(pattern: list[float]) -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG).eval().requires_grad_(False)
    clip = Clip(4, lanes=1)
    caps = torch.tensor([pattern])
    text = model.encode_text(encode_bytes([None]))
    made, _ = sample(model, clip.latents, caps, clip.gaussian, clip.actions, clip.has_action, text, steps=2)
    for frame, cap in enumerate(pattern):
        assert torch.equal(made[:, frame], clip.latents[:, frame]) == (cap == 0)


def test_noise_levels_follow_the_mix() -> None:
    torch.manual_seed(0)
    level = sample_levels(4000, 8, ForcingConfig(shared=0.25, context=0.25), torch.device("cpu"))
    assert level.min() >= 0
    assert level.max() <= 1
    same = (level == level[:, :1]).all(1)
    assert 0.2 < same.float().mean() < 0.4
    assert (level == 1).float().mean() > 0.1
    assert not (level[:, 0] == 1).any(), "first frames are made in many steps, from text alone"
    assert (level < 0.15).float().mean() > 0.25


def test_a_network_that_moves_nothing_begins_by_showing_the_frame_before() -> None:
    still = Dynamics(CONFIG.model_copy(update={"moves": False, "sees_motion": False})).requires_grad_(False)
    clip = Clip(frames=3)
    shown = clip.predict(still)
    torch.testing.assert_close(shown, torch.sigmoid(torch.tensor(2.0)) * clip.previous)
    assert not any("motion" in name for name, _ in still.named_parameters())


def test_one_that_aims_is_told_where_an_action_lies_from_each_token() -> None:
    with pytest.raises(ValueError, match="two numbers, and these have 5"):
        DynamicsConfig(**{**CONFIG.model_dump(), "aims": True})
    aiming = untrained(DynamicsConfig(**{**CONFIG.model_dump(), "aims": True, "action_dim": 2, "sees_motion": False}))
    aiming.embed_action[0].weight.zero_()  # not by the condition of the frame
    clip, other = Clip(3), Clip(3)
    clip.actions = clip.actions[..., :2]
    other.actions = clip.actions.clone()
    other.actions[:, 2] += 0.3
    told, otherwise = clip.predict(aiming), other.predict(aiming)
    assert (told[:, 2] - otherwise[:, 2]).abs().mean() > 1e-2
    torch.testing.assert_close(told[:, :2], otherwise[:, :2])
    for untold in (clip, other):
        untold.has_action[:] = False
    torch.testing.assert_close(clip.predict(aiming), other.predict(aiming))


def test_the_first_number_of_a_place_to_aim_at_is_to_the_right_and_the_second_down() -> None:
    aiming = untrained(DynamicsConfig(**{**CONFIG.model_dump(), "aims": True, "action_dim": 2, "sees_motion": False}))
    told: list[torch.Tensor] = []
    aiming.embed_aim.register_forward_hook(lambda module, inputs, output: told.append(inputs[0]))
    height, width = GRID
    row, column = height - 1, width - 2
    clip = Clip(1)
    # From -1 at one edge of the picture to 1 at the other.
    clip.actions = torch.tensor([(2 * column + 1 - width) / width, (2 * row + 1 - height) / height]).expand(2, 1, 2)
    clip.predict(aiming)
    features = told[0].reshape(2, height, width, -1)
    here = place_features(torch.zeros(2))
    torch.testing.assert_close(features[:, row, column], here.expand(2, -1))
    to_its_right = place_features(torch.tensor([-2 / height, 0.0]))  # the place lies to the left of that one
    torch.testing.assert_close(features[:, row, column + 1], to_its_right.expand(2, -1))
    above_it = place_features(torch.tensor([0.0, 2 / height]))
    torch.testing.assert_close(features[:, row - 1, column], above_it.expand(2, -1))


def test_text_is_cut_at_a_whole_character() -> None:
    data = encode_bytes(["雪" * 100, None])
    assert data.shape == (2, TEXT_LENGTH)
    assert bytes(data[0].tolist()).rstrip(b"\0").decode() == "雪" * (TEXT_LENGTH // 3)
    assert data[1].sum() == 0
