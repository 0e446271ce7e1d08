"""The training loss: what it asks for can be learned, in every mix."""

import pytest
import torch
from gymnasium import spaces

from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.forcing import ForcingConfig, dynamics_loss
from worldsim.model.rewards import expected_reward
from worldsim.model.text import encode_bytes
from worldsim.spec import action_layout

LAYOUT = action_layout(spaces.Discrete(2))
CONFIG = DynamicsConfig(
    latent_channels=4, action_dim=2, policy_logits=LAYOUT.logits, channels=32, heads=2, layers=2, time_every=2,
    text_every=2, condition_channels=32, text_channels=64, text_layers=1, reward_values=[0.0, 1.0],
)  # fmt: skip


def batch_where_an_action_ends_all(size: int, time: int = 4) -> dict[str, torch.Tensor]:
    """Clips in which action 1 gives a reward of 1, and the last action, if it is 1, ends the episode."""
    action = torch.randint(0, 2, (size, time))
    pressed = action.float()
    ends = torch.zeros(size, time)
    ends[:, -2] = pressed[:, -2]
    known = torch.ones(size, time, dtype=torch.bool)
    known[:, -1] = ends[:, -2] == 0
    # Each frame shows which action led to it.
    latents = torch.nn.functional.pad(pressed[:, :-1], (1, 0))[..., None, None, None].expand(-1, -1, 2, 2, 4) * 2 - 1
    return {
        "latents": torch.where(known[..., None, None, None], latents, 99.0),
        "actions": torch.nn.functional.one_hot(action, 2).float(),
        "rewards": pressed,
        "ends": ends,
        "known": known,
        "text": encode_bytes([None] * size)[:, :4],  # no text is short enough
    }


@pytest.mark.parametrize(
    "mix",
    [
        ForcingConfig(),
        ForcingConfig(shortcut=0.5),
        ForcingConfig(drift=0.2),
    ],
    ids=["flow", "shortcut", "drift"],
)
def test_frames_rewards_and_ends_are_learned(mix: ForcingConfig) -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    mix = mix.model_copy(update={"drop_action": 0.0, "head_weight": 1.0})
    losses = []
    for _ in range(120):
        values = dynamics_loss(model, LAYOUT, mix, **batch_where_an_action_ends_all(16))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(float(values["flow"]))
    assert sum(losses[-10:]) < 0.3 * sum(losses[:10])

    batch = batch_where_an_action_ends_all(64)
    led = torch.nn.functional.pad(batch["actions"][:, :-1], (0, 0, 1, 0))
    later = (torch.arange(4) > 0).expand(64, -1)
    before = torch.nn.functional.pad(batch["latents"][:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
    level = torch.ones(64, 4)
    with torch.no_grad():
        out = model(
            torch.randn(batch["latents"].shape), level, torch.zeros_like(level), led, later,
            model.encode_text(batch["text"]), before, later,
        )  # fmt: skip
    pressed = batch["rewards"][:, :-1] > 0
    rewards = expected_reward(out.reward[:, 1:], CONFIG.reward_values)
    assert ((rewards > 0.5) == pressed).float().mean() > 0.9
    assert out.end[:, -1][pressed[:, -1]].mean() > out.end[:, -1][~pressed[:, -1]].mean() + 1


@pytest.mark.parametrize(
    ("mix", "least", "most"),
    [
        (ForcingConfig(pure_noise=1.0, previous_noise=0.0), 0.0, 0.2),
        (ForcingConfig(pure_noise=1.0, previous_noise=0.0, energy=1.0), 0.7, 1.2),
    ],
    ids=["squared error", "energy score"],
)
def test_what_cannot_be_known_is_averaged_or_sampled(mix: ForcingConfig, least: float, most: float) -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    batch = batch_where_an_action_ends_all(32) | {"known": torch.ones(32, 4, dtype=torch.bool)}
    for _ in range(150):
        # Of deviation 1, whatever was done; all tokens alike, for a score of two hears the same noise in all of them.
        batch["latents"] = torch.randn(16, 4, 1, 1, 4).expand(-1, -1, 2, 2, -1).repeat_interleave(2, 0)
        values = dynamics_loss(model, LAYOUT, mix, **batch)
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
    level = torch.ones(32, 4)
    no = torch.zeros(32, 4, dtype=torch.bool)
    with torch.no_grad():
        made = model(
            torch.randn(batch["latents"].shape), level, level * 0, batch["actions"], no,
            model.encode_text(batch["text"]), batch["latents"], no,
        ).latents  # fmt: skip
    assert least <= made.std() <= most


def test_clips_go_on_from_what_the_model_made_of_them() -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    for parameter in (model.to_latent.weight, model.heads.weight):
        torch.nn.init.normal_(parameter)
    mix = ForcingConfig(drop_action=0.0, previous_noise=0.0)
    batch = batch_where_an_action_ends_all(16) | {"known": torch.ones(16, 4, dtype=torch.bool)}
    batch["latents"] = torch.randn(16, 4, 2, 2, 4)
    made = torch.full((4, 4, 2, 2, 4), 99.0)
    still = torch.zeros(4)
    dynamics_loss(model, LAYOUT, mix, **batch, age=torch.zeros(4, dtype=torch.int64), travelled=still, made=made)
    torch.testing.assert_close(made[:, :-1], batch["latents"][:4, :-1])  # nothing made before counts at the beginning
    newest = made[:, -1].clone()
    assert not torch.allclose(newest, batch["latents"][:4, -1], atol=0.1)
    dynamics_loss(model, LAYOUT, mix, **batch, age=torch.tensor([1, 1, 0, 1]), travelled=still, made=made)
    torch.testing.assert_close(made[[0, 1, 3], -2], newest[[0, 1, 3]])
    torch.testing.assert_close(made[2, :-1], batch["latents"][2, :-1])


def loss_of(mix: ForcingConfig, made: torch.Tensor | None = None, age: int = 1, **seen: torch.Tensor) -> torch.Tensor:
    """The flow loss of 16 clips, all or none of which go on from `made`; always the same clips and random numbers."""
    torch.manual_seed(1)
    model = Dynamics(CONFIG.model_copy(update={"sees_motion": bool(seen)}))
    for parameter in (model.to_latent.weight, model.heads.weight, model.motion.parts.weight):
        torch.nn.init.normal_(parameter)
    batch = batch_where_an_action_ends_all(16) | {"known": torch.ones(16, 4, dtype=torch.bool)} | seen
    batch["latents"] = torch.randn(16, 4, 2, 2, 4)
    if made is not None:
        batch |= {"age": torch.full((16,), age), "travelled": torch.zeros(16), "made": made.clone()}
    return dynamics_loss(model, LAYOUT, mix, **batch)["flow"]


def test_clips_that_go_on_see_what_was_made_of_them() -> None:
    ours, theirs = torch.randn(2, 16, 4, 2, 2, 4, generator=torch.Generator().manual_seed(0))
    begin = [loss_of(ForcingConfig(), made, 0) for made in (ours, theirs)]
    torch.testing.assert_close(*begin)  # nothing has been made yet
    later = [loss_of(ForcingConfig(), made) for made in (ours, theirs)]
    assert abs(later[0] - later[1]) > 0.01 * later[0]


def test_clips_that_go_on_are_told_all_and_have_no_errors_but_their_own() -> None:
    made = torch.randn(16, 4, 2, 2, 4, generator=torch.Generator().manual_seed(0))
    plain = ForcingConfig(drop_action=0.0, previous_noise=0.0)
    harsh = ForcingConfig(drop_action=1.0, previous_noise=10.0)
    torch.testing.assert_close(loss_of(plain, made), loss_of(harsh, made))
    assert abs(loss_of(plain) - loss_of(harsh)) > 0.01 * loss_of(plain)


def test_the_motion_that_is_seen_may_be_another_than_that_of_the_recording() -> None:
    mix = ForcingConfig(drop_motion=0.0)
    recorded, made = torch.randn(2, 16, 4, 8, 8, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss_of(mix, motion=recorded), loss_of(mix, motion=made, seen=recorded))
    assert abs(loss_of(mix, motion=recorded) - loss_of(mix, motion=recorded, seen=made)) > 1e-4


def test_both_copies_of_a_clip_are_told_and_shown_the_same_but_what_they_are_made_from() -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    seen: list[tuple[torch.Tensor, ...]] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    batch = {name: tensor.repeat_interleave(2, 0) for name, tensor in batch_where_an_action_ends_all(16).items()}
    mix = ForcingConfig(energy=1.0, shortcut=0.1, drift=0.5, previous_noise=0.5, drop_action=0.5, drop_text=0.5)
    dynamics_loss(model, LAYOUT, mix, **batch)
    noisy, level, step, led, has_action, text, before, _ = seen[0]
    for part in (level, step, led, has_action, text.mask, before):
        torch.testing.assert_close(part[0::2], part[1::2])
    alone = level[0::2] > 0.99
    same = (noisy[0::2] == noisy[1::2]).flatten(2).all(2)
    assert same.equal(~alone)
    assert 0 < alone.sum() < alone.numel()


def test_clips_that_do_not_come_twice_are_an_error() -> None:
    with pytest.raises(ValueError, match="every clip is to come twice, and there are 15"):
        dynamics_loss(Dynamics(CONFIG), LAYOUT, ForcingConfig(energy=1.0), **batch_where_an_action_ends_all(15))


def test_what_clips_go_on_from_is_made_in_one_step() -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    steps: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda _, inputs: steps.append(inputs[2]))
    batch = batch_where_an_action_ends_all(16)
    made = torch.zeros(8, 4, 2, 2, 4)
    mix = ForcingConfig(shortcut=1.0)
    ones = torch.ones(8, dtype=torch.int64)
    dynamics_loss(model, LAYOUT, mix, **batch, age=ones, travelled=torch.zeros(8), made=made)
    assert not steps[0][:8, -1].any()
    assert steps[0][:8, :-1].any()
    assert steps[0][8:, -1].any()


def test_once_the_picture_has_moved_the_distance_from_the_truth_counts_less() -> None:
    model = Dynamics(CONFIG)
    mix = ForcingConfig(own_fade=0.25, own_floor=0.1, shared=0, context=0, remembered=0, pure_noise=1, drop_action=0)
    batch = batch_where_an_action_ends_all(16) | {"known": torch.ones(16, 4, dtype=torch.bool)}
    batch["latents"] = torch.randn(16, 4, 2, 2, 4)
    losses = []
    for age, travelled in ((0, 0.0), (99, 0.0), (99, 0.25), (99, 99.0)):
        torch.manual_seed(1)
        made = torch.nn.functional.pad(batch["latents"][:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))  # has made the truth so far
        batch |= {"age": torch.full((16,), age), "travelled": torch.full((16,), travelled), "made": made}
        losses.append(dynamics_loss(model, LAYOUT, mix, **batch)["flow"])
    torch.testing.assert_close(losses[1], losses[0])  # where nothing has moved, time alone changes nothing
    torch.testing.assert_close(losses[2], 0.55 * losses[0])
    torch.testing.assert_close(losses[3], 0.1 * losses[0], rtol=1e-3, atol=0)


def test_the_flow_learns_where_things_came_from() -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    mix = ForcingConfig(motion_weight=1.0, drop_action=0.0)
    errors = []
    for _ in range(120):
        batch = batch_where_an_action_ends_all(16)
        turned = torch.nn.functional.pad(batch["rewards"][:, :-1], (1, 0))  # action 1 moves the picture by 3 pixels
        motion = torch.stack([3 * turned, 0 * turned], -1)[:, :, None, None].expand(-1, -1, 8, 8, -1)
        values = dynamics_loss(model, LAYOUT, mix, **batch, motion=motion)
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        errors.append(float(values["motion"]))
    assert sum(errors[-10:]) < 0.2 * sum(errors[:10])


def test_the_flow_learns_from_pixels_alone_where_things_came_from() -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    mix = ForcingConfig(pixel_weight=10.0, drop_action=0.0)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 10, 10), (64, 64), mode="bicubic").clamp(0, 1)
    picture = (255 * smooth[0]).byte().permute(1, 2, 0)
    losses, flows = [], []
    for _ in range(150):
        batch = batch_where_an_action_ends_all(16)
        turned = torch.nn.functional.pad(batch["rewards"][:, :-1], (1, 0))  # action 1 moves the picture by 3 pixels
        place = 3 * turned.cumsum(1).long()
        frames = torch.stack([torch.stack([picture[:32, n : n + 32] for n in row]) for row in place.tolist()])
        values = dynamics_loss(model, LAYOUT, mix, **batch, frames=frames)
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(float(values["pixels"]))
        with torch.no_grad():  # what it is asked for nothing of: where the points were
            motion = torch.stack([3 * turned, 0 * turned], -1)[:, :, None, None].expand(-1, -1, 8, 8, -1)
            seen = ForcingConfig(motion_weight=1.0, drop_action=0.0)
            flows.append(float(dynamics_loss(model, LAYOUT, seen, **batch, motion=motion)["motion"]))
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert sum(flows[-10:]) < 0.6 * sum(flows[:10])


def test_what_was_made_is_not_held_to_the_pixels_of_the_truth() -> None:
    model = Dynamics(CONFIG)
    batch = batch_where_an_action_ends_all(4)
    frames = torch.randint(0, 256, (4, 4, 32, 32, 3), dtype=torch.uint8)
    own = {"age": torch.zeros(2, dtype=torch.int64), "travelled": torch.zeros(2), "made": batch["latents"][:2].clone()}
    other = torch.cat([frames[:2].flip(1), frames[2:]])
    pixels = [
        dynamics_loss(model, LAYOUT, ForcingConfig(pixel_weight=1.0), **batch, **own, frames=some)["pixels"]
        for some in (frames, other)
    ]
    assert pixels[0] == pixels[1] > 0


def test_pixels_that_need_not_move_otherwise_follow_the_flow() -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    batch = batch_where_an_action_ends_all(8)
    assert dynamics_loss(model, LAYOUT, ForcingConfig(follow_weight=1.0), **batch)["follow"] == 0  # as they begin
    torch.nn.init.normal_(model.motion.follow.weight, std=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    loose = []
    for _ in range(60):
        values = dynamics_loss(model, LAYOUT, ForcingConfig(follow_weight=1.0), **batch)
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        loose.append(float(values["follow"]))
    assert loose[-1] < 0.2 * loose[0]


@pytest.mark.parametrize(("weight", "learns"), [(1.0, True), (1e-9, False)])
def test_who_keeps_all_of_the_frame_before_learns_to_draw_it_too(weight: float, learns: bool) -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    with torch.no_grad():
        model.to_latent.bias[: CONFIG.latent_channels].fill_(12)  # the gate: all is kept
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    mix = ForcingConfig(drawn_weight=weight, pure_noise=1.0)
    losses = []
    for _ in range(80):
        batch = batch_where_an_action_ends_all(16) | {"known": torch.ones(16, 4, dtype=torch.bool)}
        batch["latents"] = torch.randn(16, 1, 2, 2, 4).expand(-1, 4, -1, -1, -1)  # nothing moves: keeping is right
        values = dynamics_loss(model, LAYOUT, mix, **batch)
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(float(values["drawn"]))
    assert losses[0] == pytest.approx(1.0, abs=0.3)  # it begins with nothing
    assert (sum(losses[-10:]) < 0.5 * sum(losses[:10])) == learns


def test_what_something_seldom_leads_to_counts_more() -> None:
    model = Dynamics(CONFIG).requires_grad_(False)
    batch = batch_where_an_action_ends_all(8)
    batch["known"][:] = True
    batch["latents"] = torch.randn(8, 4, 2, 2, 4)
    batch["latents"][:, 2] *= 10  # hardly any other error is left beside that of these frames
    rare = torch.zeros(8, 4, dtype=torch.bool)
    rare[:, 1] = True  # the action that led to them
    losses = {}
    for extra in (0.0, 3.0):
        torch.manual_seed(0)
        mix = ForcingConfig(weight_floor=1.0, rare_weight=extra)
        losses[extra] = float(dynamics_loss(model, LAYOUT, mix, **batch, rare=rare)["flow"])
    assert losses[3.0] == pytest.approx(4 * losses[0.0], rel=0.1)


@pytest.mark.parametrize("energy", [0.0, 1.0])
def test_frames_that_are_not_known_do_not_matter(energy: float) -> None:
    model = Dynamics(CONFIG)
    batch = {name: tensor.repeat_interleave(2, 0) for name, tensor in batch_where_an_action_ends_all(16).items()}
    losses = []
    for value in (99.0, -3.0):
        torch.manual_seed(1)
        latents = torch.where(batch["known"][..., None, None, None], batch["latents"], value)
        losses.append(
            dynamics_loss(model, LAYOUT, ForcingConfig(energy=energy), **(batch | {"latents": latents}))["loss"]
        )
    torch.testing.assert_close(losses[0], losses[1])
