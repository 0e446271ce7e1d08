"""Clips for training: aligned with their actions, reaching the ends of episodes, never across two of them."""

from dataclasses import replace
from types import SimpleNamespace

import noise_env  # noqa: F401  (registers the environment)
import numpy as np
import pytest
import torch

from worldsim.data.batches import Captions, ahead, clip_batches, film_batches, frame_batches, moved_batches, twice
from worldsim.data.flows import Flows
from worldsim.data.record import record_store
from worldsim.data.store import FrameStore

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    out = tmp_path_factory.mktemp("noise") / "store"
    record_store("noise_env:Noise-v0", 600, out, episode_frames=50, workers=1, progress=False)
    return FrameStore.open(out)


@pytest.fixture(scope="module")
def latents(store: FrameStore) -> np.ndarray:
    """Latents that tell their row: float16 (N, 1, 2, 1)."""
    rows = np.arange(len(store.frames), dtype=np.float16)
    return np.broadcast_to(rows[:, None, None, None], (len(rows), 1, 2, 1))


def test_clips_are_stretches_of_one_episode(store: FrameStore, latents: np.ndarray) -> None:
    batch = next(clip_batches(store, latents, 200, 4, CPU, seed=0))
    for clip in range(200):
        rows = batch["latents"][clip, :, 0, 0, 0].long()[batch["known"][clip]].numpy()
        assert (np.diff(rows) == 1).all()
        assert len({int(np.searchsorted(store.starts, row, side="right")) for row in rows}) == 1
        np.testing.assert_array_equal(batch["actions"][clip][: len(rows)], store.actions[rows])
        np.testing.assert_array_equal(batch["rewards"][clip][: len(rows)], store.rewards[rows])


def test_clips_that_come_twice_lie_side_by_side(store: FrameStore, latents: np.ndarray) -> None:
    options = {"seed": 0, "own": 1, "own_depth": 2}
    once = next(clip_batches(store, latents, 3, 4, CPU, **options))
    both = next(twice(clip_batches(store, latents, 3, 4, CPU, **options)))
    assert both.keys() == once.keys()
    for name, tensor in once.items():
        assert both[name][0::2].equal(tensor), name
        assert both[name][1::2].equal(tensor), name


def test_the_action_that_ends_an_episode_is_seen_with_its_end(store: FrameStore, latents: np.ndarray) -> None:
    batch = next(clip_batches(store, latents, 400, 4, CPU, seed=0))
    known = batch["known"]
    assert known[:, 0].all()
    assert (known[:, :-1] | ~known[:, 1:]).all(), "nothing is known again after an end"
    ends = (batch["ends"] == 1) & known
    assert (ends[:, :-1] == (known[:, :-1] & ~known[:, 1:])).all()
    counts = ends[:, :-1].sum(0)
    assert counts.min() > 0.3 * counts.max(), "an end comes after any number of frames alike"


def test_clips_show_what_rare_keys_do(store: FrameStore, latents: np.ndarray) -> None:
    nothing = np.zeros(len(store.frames), np.float32)
    pressed = replace(
        store, actions=np.zeros((len(store.frames), 3), np.float32), rewards=nothing, terminated=nothing > 0
    )
    one, other = np.flatnonzero(store.lengths > 30)[:2]
    first, last = store.starts[one], store.starts[other] + store.lengths[other] - 1
    pressed.actions[first + 20 : first + 25, 0] = 1  # seldom, once
    pressed.actions[last - 1, 0] = 1  # in the last frame but one: what it does is the last one
    pressed.actions[::2, 1] = 1  # not seldom
    pressed.actions[:, 2] = 0.5  # not a key
    batch = next(clip_batches(pressed, latents, 60, 4, CPU, seed=0, rare=0.5, rare_rows=True))
    shown = batch["actions"][:, :, 0] == 1
    began = torch.from_numpy(np.isin(batch["latents"][..., 0, 0, 0].numpy(), (first + 20, last - 1)))
    assert torch.equal(batch["rare"], began), "where it is pressed, and not where it is held"
    assert (shown[30:, :-1]).any(1).all(), "pressed, and a frame that comes of it"
    assert shown[:30].any(1).float().mean() < 0.5
    rows = batch["latents"][30:, :, 0, 0, 0].long()
    assert (rows.diff(dim=1) == 1).all()
    assert {one, other} == set((np.searchsorted(store.starts, rows[:, 0].numpy(), side="right") - 1).tolist())
    pressed.actions[:, 0] = 0
    assert next(clip_batches(pressed, latents, 6, 4, CPU, seed=0, rare=1.0))["actions"].shape == (6, 4, 3)


def test_clips_show_rare_rewards_and_ends_and_what_comes_of_them(store: FrameStore, latents: np.ndarray) -> None:
    rewarded = replace(
        store,
        actions=np.zeros((len(store.frames), 1), np.float32),
        rewards=np.random.default_rng(0).normal(0, 0.01, len(store.frames)).astype(np.float32),
        terminated=np.zeros(len(store.frames), bool),
    )
    one, other = np.flatnonzero(store.lengths > 30)[:2]
    last = store.starts[other] + store.lengths[other] - 1
    rewarded.rewards[store.starts[one] + 20] = 1.0
    rewarded.terminated[last] = True
    batch = next(clip_batches(rewarded, latents, 60, 4, CPU, seed=0, rare=0.5))
    gained, ended = (batch["rewards"][:, :-1] > 0.5).any(1), (batch["ends"][:, :-1] == 1).any(1)
    assert (gained | ended)[30:].all(), "in the clip, and the frame that comes of it"
    assert gained[30:].any()
    assert ended[30:].any()
    assert not batch["known"][ended][:, -1].all(), "an end may be the last that is known"
    assert (gained | ended)[:30].float().mean() < 0.5
    rewarded.rewards[:] = 0
    rewarded.terminated[:] = False
    assert next(clip_batches(rewarded, latents, 6, 4, CPU, seed=0, rare=1.0))["rewards"].shape == (6, 4)


def test_too_short_episodes_are_told(store: FrameStore, latents: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no episode has 500 frames: record longer ones"):
        next(clip_batches(store, latents, 4, 500, CPU, seed=0))


def test_clips_that_go_on_are_those_of_the_batch_before_a_frame_later(store: FrameStore, latents: np.ndarray) -> None:
    batches = clip_batches(store, latents, 5, 4, CPU, seed=0, own=3, own_depth=6)
    before = next(batches)
    assert before["age"].tolist() == [0, 0, 0]
    ages = []
    for _ in range(60):
        batch = next(batches)
        assert batch["latents"].shape[:2] == (5, 4)
        for clip in range(3):
            age, travelled = int(batch["age"][clip]), float(batch["travelled"][clip])
            assert age in (0, int(before["age"][clip]) + 1)
            if not age:
                assert travelled == 0
            else:
                newest = batch["motion"][clip, -1].norm(dim=-1).mean() / store.size[0]
                assert travelled == pytest.approx(float(before["travelled"][clip] + newest), rel=1e-5)
                torch.testing.assert_close(batch["latents"][clip, :-1], before["latents"][clip, 1:])
                row = int((store.frames == batch["before"][clip].numpy()).all((1, 2, 3)).argmax())
                torch.testing.assert_close(batch["latents"][clip, -2], torch.from_numpy(latents[row]).float())
                torch.testing.assert_close(batch["actions"][clip, :-1], before["actions"][clip, 1:])
        ages += batch["age"].tolist()
        before = batch
    assert set(ages) == set(range(6)), "they go on for up to 6 batches"


def test_only_clips_that_go_on_need_longer_episodes(store: FrameStore, latents: np.ndarray) -> None:
    assert next(clip_batches(store, latents, 4, 40, CPU, seed=0, own_depth=24))["latents"].shape[1] == 40
    with pytest.raises(ValueError, match="no episode has 63 frames"):
        next(clip_batches(store, latents, 4, 40, CPU, seed=0, own=2, own_depth=24))


def test_frames_come_from_the_recording(store: FrameStore) -> None:
    frames = next(frame_batches(store, 5, CPU, seed=0))["frames"]
    assert frames.dtype == torch.uint8
    known = {frame.tobytes() for frame in np.asarray(store.frames)}
    assert all(frame.numpy().tobytes() in known for frame in frames)


class Told:
    """Of a store only what captions need."""

    def captions(self, episode: int) -> list[str]:
        return ["a hill", "the hill"]

    def caption_changes(self, episode: int) -> list[tuple[int, str]]:
        return [(0, "hill"), (5, "lake"), (9, "hill"), (12, "hut")]


class Silent(Told):
    def captions(self, episode: int) -> list[str]:
        return []

    def caption_changes(self, episode: int) -> list[tuple[int, str]]:
        return []


def test_a_row_is_described_as_it_is() -> None:
    captions, rng = Captions(Told(), 0), np.random.default_rng(0)  # type: ignore[arg-type]
    for row in (0, 4, 9, 11):
        assert {captions.at(row, rng) for _ in range(40)} == {"hill", "a hill", "the hill"}
    assert [captions.at(row, rng) for row in (5, 8, 12, 100)] == ["lake", "lake", "hut", "hut"]
    assert Captions(Silent(), 0).at(3, rng) is None  # type: ignore[arg-type]


def test_a_clip_is_described_as_it_is_where_it_begins(store: FrameStore, latents: np.ndarray) -> None:
    batch = next(clip_batches(store, latents, 100, 4, CPU, seed=0))
    parts = 0
    for clip in range(100):
        row = int(batch["latents"][clip, 0, 0, 0, 0])
        episode = int(np.searchsorted(store.starts, row, side="right")) - 1
        text = bytes(batch["text"][clip].tolist()).rstrip(b"\0").decode()
        if row > store.starts[episode]:
            assert text == f"part {(row - store.starts[episode]) // 10}"
            parts += 1
    assert parts > 50


def test_batches_hold_the_optical_flow_of_their_frames(store: FrameStore, latents: np.ndarray) -> None:
    plain = next(clip_batches(store, latents, 3, 5, CPU, seed=4))
    batch = next(clip_batches(store, latents, 3, 5, CPU, seed=4, motion=True))
    assert set(batch) - set(plain) == {"motion"}
    height, width = store.size
    assert batch["motion"].shape == (3, 5, height // 4, width // 4, 2)
    assert not batch["motion"][:, 0].any(), "nothing is known of the frame before the first"
    assert batch["motion"][:, 1:].any()


def test_batches_hold_their_frames(store: FrameStore, latents: np.ndarray) -> None:
    plain = next(clip_batches(store, latents, 3, 5, CPU, seed=4))
    batch = next(clip_batches(store, latents, 3, 5, CPU, seed=4, pixels=True))
    assert set(batch) - set(plain) == {"frames"}
    assert batch["frames"].shape == (3, 5, *store.size, 3)
    assert batch["frames"].dtype == torch.uint8
    clip = batch["frames"][0].numpy()
    firsts = [row for row in range(len(store.frames) - 4) if np.array_equal(store.frames[row : row + 5], clip)]
    assert len(firsts) >= 1, "the frames follow each other in the recording"


def test_batches_made_ahead_are_the_same() -> None:
    count = [{"n": torch.tensor(n)} for n in range(5)]
    made = ahead(iter(count))
    assert [int(next(made)["n"]) for _ in range(4)] == [0, 1, 2, 3]


def test_half_of_the_frames_come_with_the_one_before_moved() -> None:
    """Two episodes of a soft picture that slides by 3 pixels a frame, to the left; each another picture."""
    torch.manual_seed(0)
    wide = torch.nn.functional.interpolate(torch.rand(2, 3, 6, 20), (48, 160), mode="bicubic").clamp(0, 1)
    wide = (255 * wide).byte().permute(0, 2, 3, 1).numpy()
    frames = np.stack([picture[:, 3 * t : 3 * t + 64] for picture in wide for t in range(20)])
    flows = Flows(frames)
    store = SimpleNamespace(frames=frames, starts=np.array([0, 20]), lengths=np.array([20, 20]), flows=flows)
    batch = next(moved_batches(store, 24, CPU, seed=0))
    assert batch["frames"].shape == (24, 48, 64, 3)
    assert batch["moved"].shape == (24, 48, 64, 4)
    assert batch["moved"].dtype == torch.uint8
    assert not batch["moved"][:12].any()
    assert not torch.equal(batch["frames"][:12], batch["frames"][12:])
    true, moved = batch["frames"][12:].float(), batch["moved"][12:].float()
    unmoved = np.abs(frames[1:20].astype(float) - frames[:19]).mean()
    assert (moved[:, :, :56, :3] - true[:, :, :56]).abs().mean() < 0.3 * unmoved
    assert (moved[:, :, :56, 3] == 255).float().mean() > 0.95
    assert (moved[:, :, -2:, 3] == 0).float().mean() > 0.8, "what comes into view was not there before"
    short = SimpleNamespace(frames=frames, starts=np.arange(40), lengths=np.ones(40, int))
    with pytest.raises(ValueError, match="no episode has 2 frames"):
        next(moved_batches(short, 4, CPU, seed=0))


def test_films_are_stretches_of_one_episode_in_whole_latents(store: FrameStore) -> None:
    stride = 4
    groups = np.arange(len(store.frames) // stride, dtype=np.float16)
    latents = np.broadcast_to(groups[:, None, None, None], (len(groups), 1, 2, 1))
    batch = next(film_batches(store, latents, stride, 300, 3, CPU, seed=0))
    assert batch["latents"].shape == (300, 3, 1, 2, 1)
    seen = batch["latents"][:, :, 0, 0, 0].long().numpy()
    assert (np.diff(seen, axis=1) == 1).all()
    first, last = seen[:, 0] * stride, seen[:, -1] * stride + stride - 1
    episodes = np.searchsorted(store.starts, first, side="right") - 1
    assert (last < store.starts[episodes] + store.lengths[episodes]).all()
    assert len(set(seen[:, 0].tolist())) > 20
    with pytest.raises(ValueError, match="no episode has 400 frames"):
        next(film_batches(store, latents, stride, 1, 100, CPU, seed=0))


def test_frames_of_a_stride_follow_each_other(store: FrameStore) -> None:
    frames = next(frame_batches(store, 50, CPU, 0, stride=3))["frames"].numpy()
    every = np.asarray(store.frames)
    for group in frames.reshape(50, 3, *frames.shape[1:]):
        (row,) = [row for row in range(len(every) - 2) if np.array_equal(every[row], group[0])]
        np.testing.assert_array_equal(group, every[row : row + 3])
        assert not np.isin(np.arange(row + 1, row + 3), store.starts).any()
