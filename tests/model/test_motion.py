"""The flow: what stands still stays, what moves arrives, and pictures of any size have the same places."""

import pytest
import torch

from worldsim.model.layers import place_features, places_of_tokens
from worldsim.model.motion import POINTS, Motion, carried, looked_up, places_before
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig

GRID = (3, 4)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Fitted to smooth pictures, which 64 components hold almost completely."""
    tokenizer = Tokenizer(TokenizerConfig(channels=64, layers=1, fine_channels=64, fine_layers=1))
    tokenizer.fit(pictures(64))
    return tokenizer.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def motion(tokenizer: Tokenizer) -> Motion:
    motion = Motion(64, 32, 16)
    motion.start_from(tokenizer)
    return motion.requires_grad_(False)


def pictures(count: int) -> torch.Tensor:
    """Sums of slow waves, uint8 (count, 48, 64, 3)."""
    torch.manual_seed(count)
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    frequency, phase = 0.25 * torch.randn(2, count, 3, 4, 1, 1), 6.3 * torch.rand(count, 3, 4, 1, 1)
    waves = torch.sin(frequency[0] * x + frequency[1] * y + phase).mean(2)
    return ((waves + 1) * 127.5).byte().permute(0, 2, 3, 1)


def still(frames: int) -> torch.Tensor:
    return torch.zeros(frames, GRID[0] * POINTS, GRID[1] * POINTS, 2)


def test_tokens_share_in_the_flow_of_the_whole_picture_as_they_decide() -> None:
    """At first all of them do; a token that is told to stay, stays, and the others move on."""
    torch.manual_seed(0)
    alone, shared = Motion(8, 32, 16), Motion(8, 32, 16, shares_motion=True)
    for motion in (alone, shared):
        torch.nn.init.ones_(motion.whole.weight)
    tokens, condition = torch.zeros(2, GRID[0] * GRID[1], 32), torch.randn(2, 16)
    tokens[:, 5] = 1  # the second of the second row
    before = alone.flow(tokens, condition, *GRID)
    torch.testing.assert_close(shared.flow(tokens, condition, *GRID), before)
    assert before.abs().min() > 0.01
    assert shared.shares is not None
    torch.nn.init.constant_(shared.shares.weight, -1.0)
    flow = shared.flow(tokens, condition, *GRID)
    stays = torch.zeros(GRID[0] * POINTS, GRID[1] * POINTS, dtype=torch.bool)
    stays[POINTS : 2 * POINTS, POINTS : 2 * POINTS] = True
    assert flow[:, stays].abs().max() < 1e-6
    torch.testing.assert_close(flow[:, ~stays], before[:, ~stays])


def test_without_flow_nothing_changes(motion: Motion, tokenizer: Tokenizer) -> None:
    latents = tokenizer.encode(pictures(3))
    torch.testing.assert_close(motion.move(latents, places_before(still(3))), latents, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("dx", "dy"), [(16, 0), (0, -16), (-32, 16)])
def test_a_flow_by_whole_tokens_is_a_shift_by_tokens(motion: Motion, tokenizer: Tokenizer, dx: int, dy: int) -> None:
    latents = tokenizer.encode(pictures(2))
    moved = motion.move(latents, places_before(still(2) + torch.tensor([dx, dy])))
    for row in range(GRID[0]):
        for column in range(GRID[1]):
            source_row, source_column = row + dy // 16, column + dx // 16
            if 0 <= source_row < GRID[0] and 0 <= source_column < GRID[1]:
                expected = latents[:, source_row, source_column]
                torch.testing.assert_close(moved[:, row, column], expected, atol=1e-3, rtol=1e-3)


def test_a_flow_by_pixels_shifts_the_picture_by_pixels(motion: Motion, tokenizer: Tokenizer) -> None:
    frames = pictures(4)
    right, below = 5, 3
    moved = motion.move(tokenizer.encode(frames), places_before(still(4) + torch.tensor([right, below])))
    shown = tokenizer.decode(moved)[:, : 48 - below, : 64 - right]
    expected = frames[:, below:, right:].float() / 255
    unmoved = (frames[:, : 48 - below, : 64 - right].float() / 255 - expected).square().mean()
    assert (shown - expected).square().mean() < 0.1 * unmoved


def test_a_frame_is_carried_by_the_flow_and_what_was_out_of_view_is_marked() -> None:
    frames = pictures(2)
    moved = carried(frames, places_before(still(2) + torch.tensor([5.0, -3.0])))
    assert moved.shape == (2, 48, 64, 4)
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved[:, 3:, :59, :3], frames[:, :45, 5:].float() / 255, atol=1e-4, rtol=0)
    assert moved[:, 3:, :59, 3].min() == 1
    assert moved[:, :3, :, 3].max() == moved[:, :, 59:, 3].max() == 0


def test_pixels_that_do_not_follow_the_flow_stay(motion: Motion, tokenizer: Tokenizer) -> None:
    latents = tokenizer.encode(pictures(2))
    follows = torch.ones(2, 48, 64, 1)
    follows[:, 16:32, 16:32] = 0  # those of one token
    moved = motion.move(latents, places_before(still(2) + torch.tensor([16, 0]), follows))
    torch.testing.assert_close(moved[:, 1, 1], latents[:, 1, 1], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(moved[:, 1, 2], latents[:, 1, 3], atol=1e-3, rtol=1e-3)


def test_a_token_says_which_of_its_pixels_follow() -> None:
    motion = flat_motion()
    motion.follow.weight.view(16, 16, 32)[5, 9, 0] = -1.0  # row 5, column 9 of a token
    tokens = torch.zeros(1, 12, 32)
    tokens[0, 1 * GRID[1] + 2, 0] = 1.0  # the token in row 1, column 2
    follows = motion.follows(tokens, GRID[0])
    assert follows.shape == (1, 48, 64, 1)
    assert (follows != 1).nonzero().tolist() == [[0, 16 + 5, 2 * 16 + 9, 0]]
    assert follows.min() == 0


def flat_motion() -> Motion:
    """All weights of the flow 0, to set some."""
    motion = Motion(64, 32, 16).requires_grad_(False)
    for linear in (motion.whole, motion.parts, motion.follow):
        linear.weight.zero_()
        linear.bias.zero_()
    return motion


def test_a_token_moves_its_own_points() -> None:
    motion = flat_motion()
    motion.parts.weight.view(POINTS, POINTS, 2, 32)[1, 3, 0, 0] = 2.0  # row 1, column 3 of a token, to the right
    tokens = torch.zeros(1, 12, 32)
    tokens[0, 1 * GRID[1] + 2, 0] = 1.0  # the token in row 1, column 2
    flow = motion.flow(tokens, torch.zeros(1, 16), *GRID)
    assert flow.shape == (1, GRID[0] * POINTS, GRID[1] * POINTS, 2)
    assert flow.nonzero().tolist() == [[0, POINTS + 1, 2 * POINTS + 3, 0]]
    assert flow.max() == pytest.approx(2.0 * 0.1 * 48), "in tenths of the height"


def test_the_condition_moves_the_whole_picture_whatever_its_size() -> None:
    motion = flat_motion()
    torch.manual_seed(0)
    motion.whole.weight.normal_()
    condition = torch.randn(2, 16)
    small = motion.flow(torch.zeros(2, 8, 32), condition, 2, 4)
    large = motion.flow(torch.zeros(2, 72, 32), condition, 6, 12)
    assert small.std() > 1
    torch.testing.assert_close(3 * small, large[:, 1::3, 1::3], rtol=1e-4, atol=1e-3)


def test_the_flow_gets_gradients_through_both_its_parts(tokenizer: Tokenizer) -> None:
    motion = Motion(64, 32, 16)
    motion.start_from(tokenizer)
    torch.nn.init.normal_(motion.whole.bias)  # without any flow there is none to follow
    latents = tokenizer.encode(pictures(2))
    tokens, condition = torch.randn(2, 12, 32), torch.randn(2, 16)
    flow = motion.flow(tokens, condition, *GRID)
    motion.move(latents, places_before(flow, motion.follows(tokens, GRID[0]))).square().sum().backward()
    for name, parameter in motion.named_parameters():
        drawing = name.startswith(("draw", "read"))  # stay exact inverses
        assert parameter.requires_grad == (parameter.grad is not None) == (not drawing), name
        assert drawing or parameter.grad.abs().sum() > 0, name


def test_places_count_from_the_middle_in_heights() -> None:
    small = place_features(places_of_tokens(2, 4, torch.device("cpu"))).view(2, 4, -1)
    large = place_features(places_of_tokens(6, 12, torch.device("cpu"))).view(6, 12, -1)
    torch.testing.assert_close(small, large[1::3, 1::3])


@pytest.mark.parametrize("between", ["bilinear", "bicubic"])
def test_looking_up_is_the_same_in_a_compiled_step(between: str) -> None:
    torch.manual_seed(0)
    places = (2.2 * torch.rand(2, 48, 64, 2) - 1.1).requires_grad_()
    shown = (pictures(2) / 255).requires_grad_()
    compiled = torch.compile(looked_up, backend="aot_eager")
    for wanted in ((places,), (shown, places)):
        ours, theirs = looked_up(shown, places, between), compiled(shown, places, between)
        assert torch.equal(ours, theirs)
        slopes = [torch.autograd.grad(found.square().sum(), wanted) for found in (ours, theirs)]
        for one, other in zip(*slopes, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)
