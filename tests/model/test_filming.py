"""Films: who sees whom, windows, caps, guidance; and an open dynamics learns what lies between two frames."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worldsim.model import filming
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.filming import FilmConfig, film_levels, film_loss, remembered_noise, sample_film, windows
from worldsim.model.text import WORDS, encode_words

CONFIG = DynamicsConfig(
    latent_channels=4, action_dim=1, policy_logits=1, channels=32, heads=2, layers=4, time_every=2, text_every=2,
    condition_channels=32, text_channels=32, causal=False, words=True,
)  # fmt: skip
FRAME = (2, 3, 4)


@pytest.fixture(scope="module")
def dynamics() -> Dynamics:
    torch.manual_seed(0)
    model = Dynamics(CONFIG)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model.eval().requires_grad_(False)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, *FRAME, generator=torch.Generator().manual_seed(seed))


def film(
    dynamics: Dynamics, latents: Tensor, caps: Tensor, texts: list[str | None] | None = None, **how: object
) -> Tensor:
    texts = texts or [None]
    settings_ = {"window": 6, "steps": 3, "shares": torch.ones(1, len(caps))} | how
    return sample_film(
        dynamics,
        latents,
        caps,
        noise(*latents.shape[:2], seed=1),
        dynamics.encode_text(encode_words(texts)),
        **settings_,
    )  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(pattern=st.lists(st.sampled_from([0.0, 0.3, 0.7, 1.0]), min_size=1, max_size=14))
def test_given_frames_stay_and_the_others_are_made(dynamics: Dynamics, pattern: list[float]) -> None:
    latents = noise(2, len(pattern))
    made = film(dynamics, latents, torch.tensor(pattern))
    assert made.isfinite().all()
    for frame, cap in enumerate(pattern):
        assert torch.equal(made[:, frame], latents[:, frame]) == (cap == 0)


@settings(max_examples=200, deadline=None)
@given(frames=st.integers(1, 40), length=st.integers(1, 9), cuts=st.sets(st.integers(1, 39), max_size=3))
def test_windows_cover_all_and_reach_over_no_cut(frames: int, length: int, cuts: set[int]) -> None:
    cuts = {cut for cut in cuts if cut < frames}
    found = windows(frames, length, sorted(cuts))
    assert {frame for window in found for frame in window} == set(range(frames))
    for window in found:
        assert len(window) <= length
        assert window == list(range(window[0], window[-1] + 1))
        assert not any(cut in window[1:] for cut in cuts)
    edges = [0, *sorted(cuts), frames]
    for first, last in pairwise(edges):  # no window is shorter than it need be
        assert all(len(w) == min(length, last - first) for w in found if first <= w[0] < last)


def test_what_is_given_at_the_end_decides_what_is_made_before(dynamics: Dynamics) -> None:
    caps = torch.tensor([1.0, 1, 1, 0])
    one, other = noise(1, 4), noise(1, 4)
    other[:, 3] += 1
    assert not torch.allclose(film(dynamics, one, caps)[:, :3], film(dynamics, other, caps)[:, :3], atol=1e-3)


def test_beyond_a_cut_nothing_is_seen(dynamics: Dynamics) -> None:
    caps = torch.tensor([1.0, 1, 0, 0])
    one, other = noise(1, 4), noise(1, 4)
    other[:, 2:] += 1
    made = [film(dynamics, latents, caps, cuts=[2])[:, :2] for latents in (one, other)]
    assert torch.equal(*made)


def test_a_film_in_one_window_does_not_depend_on_who_is_made_beside_it(dynamics: Dynamics) -> None:
    latents, caps = noise(3, 5), torch.ones(5)
    together = film(dynamics, latents, caps, ["snow"])
    sampled = noise(3, 5, seed=1)
    for lane in range(3):
        alone = sample_film(
            dynamics, latents[lane : lane + 1], caps, sampled[lane : lane + 1],
            dynamics.encode_text(encode_words(["snow"])), torch.ones(1, 5), window=6, steps=3,
        )  # fmt: skip
        torch.testing.assert_close(together[lane], alone[0], atol=1e-4, rtol=1e-4)


def test_large_pictures_are_made_in_tiles_that_know_of_each_other(dynamics: Dynamics) -> None:
    latents = torch.randn(1, 3, 5, 9, FRAME[-1], generator=torch.Generator().manual_seed(0))
    gaussian = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    caps, text = torch.tensor([0.0, 1, 1]), dynamics.encode_text(encode_words(["snow"]))

    def made(latents: Tensor, steps: int, **how: object) -> Tensor:
        shares = torch.ones(1, 3)
        return sample_film(dynamics, latents, caps, gaussian, text, shares, window=6, steps=steps, **how)  # type: ignore[arg-type]

    whole = made(latents, 2)
    assert torch.equal(made(latents, 2, tile=(5, 9)), whole)
    tiled = made(latents, 2, tile=(2, 3))
    assert torch.equal(tiled[:, 0], latents[:, 0])  # what is given stays
    assert not torch.allclose(tiled, whole, atol=1e-2)
    assert torch.equal(tiled, made(latents, 2, tile=(2, 3)))
    torch.testing.assert_close(tiled, made(latents, 2, tile=(2, 3), at_once=2), atol=1e-4, rtol=1e-4)
    other = latents.clone()
    other[:, 0, :, 8:] += 1  # of the given frame, in the last tile alone
    elsewhere = slice(0, 4)
    assert torch.equal(
        made(other, 1, tile=(2, 3))[:, :, :, elsewhere], made(latents, 1, tile=(2, 3))[:, :, :, elsewhere]
    )
    far = made(other, 4, tile=(2, 3))[:, :, :, 5]  # by and by, it is heard of
    assert not torch.equal(far, made(latents, 4, tile=(2, 3))[:, :, :, 5])


def test_how_many_windows_a_pass_has_makes_no_difference(dynamics: Dynamics) -> None:
    latents, caps = noise(2, 15), torch.ones(15)
    torch.testing.assert_close(
        film(dynamics, latents, caps, at_once=1), film(dynamics, latents, caps, at_once=9), atol=1e-4, rtol=1e-4
    )


def test_each_text_is_heard_where_it_has_its_share(dynamics: Dynamics) -> None:
    latents, caps = noise(1, 4), torch.ones(4)
    whole = film(dynamics, latents, caps, ["snow"], window=1)  # each frame alone
    other = film(dynamics, latents, caps, ["rain"], window=1)
    shares = torch.tensor([[1.0, 1, 0, 0.5], [0, 0, 1, 0.5]])
    mixed = film(dynamics, latents, caps, ["snow", "rain"], window=1, shares=shares)
    torch.testing.assert_close(mixed[:, :2], whole[:, :2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mixed[:, 2], other[:, 2], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(mixed[:, 3], whole[:, 3], atol=1e-3)
    assert not torch.allclose(mixed[:, 3], other[:, 3], atol=1e-3)


def test_guidance_goes_away_from_what_is_not_wanted(dynamics: Dynamics) -> None:
    latents, caps, nothing = noise(1, 3), torch.ones(3), dynamics.encode_text(encode_words([None]))

    def once(text: str | None, **how: object) -> Tensor:
        return film(dynamics, latents, caps, [text], steps=1, **how)

    snow, plain = once("snow"), once(None)
    torch.testing.assert_close(
        once("snow", guidance_scale=3.0, unwanted=nothing), plain + 3 * (snow - plain), atol=1e-4, rtol=1e-4
    )
    rain = dynamics.encode_text(encode_words(["rain"]))
    torch.testing.assert_close(
        once("snow", guidance_scale=3.0, unwanted=rain), once("rain") + 3 * (snow - once("rain")), atol=1e-4, rtol=1e-4
    )


def test_noise_levels_follow_the_mix() -> None:
    torch.manual_seed(0)
    config = FilmConfig(shared=0.25, given=0.5, given_noise=0.05)
    level, given_ = film_levels(8000, 6, config, torch.device("cpu"))
    assert level.min() >= 0
    assert level.max() <= 1
    assert (level[given_] <= 0.05).all()
    assert not given_.all(1).any(), "something is left to be made"
    same = (level == level[:, :1]).all(1)
    assert 0.25 < same.float().mean() < 0.45  # those of one level, and those of which nothing happens to be given
    assert 0.3 < given_.any(1).float().mean() < 0.5
    heads = given_[:, 0] & ~given_[:, -1]
    tails = given_[:, -1] & ~given_[:, 0]
    ends = given_[:, 0] & given_[:, -1]
    assert min(heads.float().mean(), tails.float().mean(), ends.float().mean()) > 0.05
    single, none = film_levels(100, 1, config, torch.device("cpu"))
    assert not none.any()
    assert single.std() > 0.05


def test_frames_that_are_given_do_not_count(dynamics: Dynamics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only given frames are wrong there is no loss: the network cannot be asked for what it is told."""
    config = FilmConfig(shared=0, given=1)
    latents, levels = noise(16, 6), film_levels(16, 6, config, torch.device("cpu"))
    monkeypatch.setattr(filming, "film_levels", lambda *_: levels)
    given_ = levels[1][..., None, None, None]

    def loss(wrong: Tensor) -> float:
        monkeypatch.setattr(filming, "predict", lambda *_: latents + wrong)
        return float(film_loss(dynamics, config, latents, encode_words(["snow"] * 16))["loss"])

    assert given_.any()
    assert loss(5.0 * given_) == 0
    assert loss(0.1 * ~given_) > 0


def test_noise_is_remembered_until_a_cut() -> None:
    independent = torch.randn(4000, 6, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    correlated = remembered_noise(independent, 0.9, cuts=[4])[..., 0, 0, 0]
    there = torch.corrcoef(correlated.T)
    torch.testing.assert_close(correlated.var(0), torch.ones(6), atol=0.1, rtol=0)
    assert there[0, 1] == pytest.approx(0.9, abs=0.03)
    assert there[0, 3] == pytest.approx(0.9**3, abs=0.04)
    assert there[3, 4].abs() < 0.06
    assert there[4, 5] == pytest.approx(0.9, abs=0.03)
    assert torch.equal(remembered_noise(independent, 0.0), independent)


def test_words_are_hashed_with_their_neighbours() -> None:
    snow, other, long = encode_words(["a Snowy plain", "snowy, a plain", "x " * 300])
    assert (snow > 0).sum() == 5  # three words, two pairs
    assert set(encode_words(["snowy"])[0].tolist()) <= set(snow.tolist())
    assert set(snow.tolist()) != set(other.tolist()), "the order of neighbours is heard"
    assert long.shape == (WORDS,)
    chinese = encode_words(["雪地，夜晚"])[0]
    assert (chinese > 0).sum() == 7
    counted = encode_words(["有3只羊"])[0]
    assert set(encode_words(["羊"])[0].tolist()) <= set(counted.tolist()), "each character is a word, after a digit too"
    assert not encode_words([None, ""]).any()


def test_an_open_dynamics_learns_what_lies_between() -> None:
    """Clips in which one number moves evenly from a random one to another: the middle is known by both ends only."""
    torch.manual_seed(0)
    model = Dynamics(CONFIG.model_copy(update={"channels": 64}))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)

    def clips(count: int) -> Tensor:
        first, last = torch.randn(2, count, 1, 1, 1, 4)
        share = torch.linspace(0, 1, 5)[None, :, None, None, None]
        return torch.lerp(first, last, share).expand(count, 5, 1, 2, 4)

    text = encode_words([None] * 64)
    for _ in range(300):
        loss = film_loss(model, FilmConfig(shared=0, given=1), clips(64), text)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    truth = clips(64)
    caps = torch.tensor([0.0, 1, 1, 1, 0])
    made = sample_film(
        model.eval(), truth, caps, torch.randn(truth.shape), model.encode_text(encode_words([None])), torch.ones(1, 5),
        window=5, steps=8,
    )  # fmt: skip
    error = float((made - truth)[:, 2].square().mean())
    nearest = float((truth[:, 0] - truth[:, 2]).square().mean())
    assert error < 0.3 * nearest, (error, nearest)
