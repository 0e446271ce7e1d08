"""`worldsim train RECIPE`: record, train the tokenizer, encode, train the dynamics and the painter, then the decoder.

Every stage leaves its result in the output directory and is skipped when it is there, so the same command started
again goes on where the last one was stopped, however it was stopped. Needs neither av nor pygame.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from worldsim.checkpoint import load_tensors, save_tensors
from worldsim.data.batches import (
    Batch,
    ahead,
    clip_batches,
    encode_store,
    frame_batches,
    moved_batches,
    rows_of,
    twice,
)
from worldsim.data.episodes import env_facts
from worldsim.data.overlay import overlay_of
from worldsim.data.record import record_store, store_from_dataset
from worldsim.data.store import FrameStore
from worldsim.files import alone, clear_leftovers, free_space_or_error, replacing, write_atomically
from worldsim.machine import compiler_lacks, pick_device
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.forcing import ForcingConfig, dynamics_loss
from worldsim.model.rewards import reward_values
from worldsim.model.tokenizer import ReconstructionConfig, Tokenizer
from worldsim.recipes import load_recipe
from worldsim.recipes.recipe import PainterRecipe, Recipe
from worldsim.spec import WorldSpec, check_size
from worldsim.training.decoder import new_discriminator, train_decoder
from worldsim.training.film import Recorded, film_mix, train_film_dynamics
from worldsim.training.loop import Loss, Phase, Training
from worldsim.training.own_clips import going_on
from worldsim.training.painting import check_painter, train_painter
from worldsim.world import Starts, World, load

TrainPart = Callable[..., Training]  # a Training that only lacks the network and its name
_SEEDS = 100_000  # between those of films of one size and of the next


def train(
    recipe: str | Recipe,
    out: Path,
    *,
    device: str = "auto",
    minutes: float | None = None,
    data: Path | None = None,
    init: str | None = None,
    tensorboard: bool = False,
    show: bool = True,
) -> Path:
    """Make a World by a recipe (a name, a JSON file or a `Recipe`) in the directory `out`; returns the World's path.

    minutes: scales all training budgets so that they add up to this; data: a recording (LeRobotDataset or frame store)
    to train on instead of recording anew; init: a World (name or path) of the same sizes whose weights to begin with,
    its encoder kept as it is, its decoder until `decoder_phases`, its painter if the recipe trains none. Can be killed
    at any time and started again.
    ValueError for an unknown recipe, an unfit checkpoint or recording, without the compiler that a recipe needs, and
    while another process trains in `out`; OSError when the disk is too small.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
    if init is not None:  # its encoder is kept: nothing of the tokenizer is trained, or counts in `minutes`
        recipe = recipe.model_copy(update={"tokenizer_phases": []})
    if minutes is not None:
        recipe = recipe.times(minutes / recipe.minutes)
    if recipe.compiled and (lacks := compiler_lacks()):
        raise ValueError(
            f"the recipe compiles its training step, which needs {' and '.join(lacks)} (Debian, Ubuntu: apt install "
            'g++ python3-dev); or set "compiled" to false in a JSON file of the recipe, and learn far less in the time'
        )
    for phase in recipe.tokenizer_phases + recipe.decoder_phases:  # a slip shows now and not in an hour
        ReconstructionConfig(**phase.settings)
    for phase in recipe.dynamics_phases:
        if recipe.film is None:
            _forcing(recipe, phase)
        else:
            film_mix(recipe.film, phase)
    if recipe.tokenizer.carries and any(phase.batch < 2 for phase in recipe.tokenizer_phases):
        raise ValueError("a tokenizer that carries learns from frames with and without one before: batch at least 2")
    out, target = Path(out), pick_device(device)
    train_part = partial(
        Training, directory=out, device=target, average=recipe.average, compiled=recipe.compiled,
        tensorboard=tensorboard,
        show=show,
    )  # fmt: skip

    base = None if init is None else load(init, device="cpu", dtype="float32")
    with alone(out):
        world = _make(recipe, out, data, base, target, train_part, show)
    print(f"The World is in {world}", file=sys.stderr)
    return world


def _make(
    recipe: Recipe, out: Path, data: Path | None, base: World | None, device: torch.device, train_part: TrainPart,
    show: bool,
) -> Path:  # fmt: skip
    """All stages, one after the other; the World's path."""
    if base is not None:  # its decoder is kept, and so how it draws
        carries = {"carries": base.tokenizer.config.carries}
        recipe = recipe.model_copy(update={"tokenizer": recipe.tokenizer.model_copy(update=carries)})
    if recipe.painter is not None:
        check_painter(recipe, recipe.painter, base)
    if recipe.field_of_view is not None and not recipe.tokenizer.carries:
        raise ValueError("field_of_view is of use only where the tokenizer carries: set its carries, or leave it out")
    store = _recording(recipe, out, data, show)
    _check_recording(recipe, store)
    held = store if recipe.film is not None else _held_out(recipe, store, out)
    _keep_to(store, out)
    tokenizer = _train_tokenizer(recipe, store, out, device, train_part, base)
    latents = _encode(tokenizer, store, out / "latents.npy", device, show)
    if recipe.film is not None:
        begin = partial(_take_over, theirs=base.dynamics) if base is not None else lambda dynamics: None
        recorded = [(store, latents), *_other_sizes(recipe, store, tokenizer, out, device, show)]
        world, step = train_film_dynamics(recipe, recipe.film, recorded, tokenizer, out, device, train_part, begin)
    else:
        starts = _starts(recipe, held, tokenizer, device)
        overlay = _overlay(recipe, store, out, base)
        world, step = _train_dynamics(recipe, store, latents, tokenizer, starts, overlay, out, device, train_part, base)
        if recipe.painter is not None:
            paintings = _painter_recording(recipe, recipe.painter, store, out, show)
            # Their sum names what the decoder learns from: either, trained on, makes other frames.
            step += train_painter(recipe, recipe.painter, paintings, world, device, train_part, base)
    if recipe.decoder_phases:
        train_decoder(recipe, store, world, step, out, device, train_part, show)
    return world


def _recording(recipe: Recipe, out: Path, data: Path | None, show: bool) -> FrameStore:
    if data is None:
        facts = env_facts(recipe.env_id, recipe.env_kwargs)
        check_size(facts.size)  # now, and not after all is recorded
        _check_aims(recipe, facts.action)
        record_store(
            recipe.env_id, recipe.frames, out / "frames", env_kwargs=recipe.env_kwargs, policy=recipe.policy,
            seed=recipe.seed, episode_frames=recipe.episode_frames, progress=show,
        )  # fmt: skip
        return FrameStore.open(out / "frames")
    if (data / "spec.json").exists():
        return FrameStore.open(data)
    # Goes on where a kill interrupted it; refuses another recording's remains.
    store_from_dataset(data, out / "frames", progress=show)
    return FrameStore.open(out / "frames")


def _painter_recording(recipe: Recipe, painter: PainterRecipe, store: FrameStore, out: Path, show: bool) -> FrameStore:
    """What the painter learns from: frames of its own, or those of the recording if that is of no environment."""
    if not store.env_id:
        return store
    record_store(
        store.env_id, painter.frames, out / "paintings", env_kwargs=store.env_kwargs | painter.env_kwargs,
        policy=painter.policy, seed=recipe.seed, episode_frames=painter.episode_frames, progress=show,
    )  # fmt: skip
    return FrameStore.open(out / "paintings")


def _check_aims(recipe: Recipe, action: dict[str, Any]) -> None:
    """ValueError if the recipe's dynamics aims, and an action of this space (see `space_to_json`) names no place."""
    place = action["kind"] == "box" and np.shape(action["low"]) == (2,)
    if recipe.dynamics.aims and not (place and np.isfinite([action["low"], action["high"]]).all()):
        raise ValueError(
            "aims is for actions that name a place in the picture, a Box of two numbers (to the right and down, from "
            "one edge at its low to the other at its high): leave it out"
        )


def _check_recording(recipe: Recipe, store: FrameStore) -> None:
    """ValueError if its frames have a size that no World has, or no episode is as long as the clips of some phase.

    An episode that ended counts as a frame longer.
    """
    check_size(store.size)
    _check_aims(recipe, store.action)
    longest = int(store.lengths.max()) + 1
    if recipe.sizes and not store.env_id:
        raise ValueError("this recording is of no environment, to record films of other sizes in: leave out sizes")
    for size in recipe.sizes:
        env_facts(store.env_id, store.env_kwargs | {"size": list(size)})  # an environment that has none says so
        longest = min(longest, recipe.episode_frames + 1)
    if recipe.film is not None:
        needed = recipe.tokenizer.stride * max(phase.time for phase in recipe.dynamics_phases)
        if needed >= longest:
            raise ValueError(f"films of {needed} frames need episodes as long, and the longest has {longest - 1}")
        if any(phase.batch < 2 for phase in recipe.decoder_phases):
            raise ValueError("the decoder learns from recorded frames and from made ones: batch at least 2")
        return
    for number, phase in enumerate(recipe.dynamics_phases, 1):
        mix = _forcing(recipe, phase)
        more = mix.own_depth - 1 if mix.own_clips(phase.batch) else 0
        if phase.time + more > longest:
            raise ValueError(
                f"phase {number} of the dynamics needs episodes of {phase.time + more} frames, and the longest has "
                f"{longest - 1}: record longer ones, or lower its time ({phase.time})"
                + (f" or own_depth ({mix.own_depth})" if more else "")
            )
    if recipe.decoder_phases and recipe.context_length + 1 >= store.lengths.max():
        raise ValueError(
            f"the decoder is to learn from what goes on after a context of {recipe.context_length + 1} frames, and the "
            f"longest episode has {store.lengths.max()}: record longer ones, or leave out decoder_phases"
        )


def _keep_to(store: FrameStore, out: Path) -> None:
    """ValueError if what is in `out` was made of another recording."""
    begun, now = out / "recording.json", (store.directory / "spec.json").read_text(encoding="utf-8")
    if begun.exists() and begun.read_text(encoding="utf-8") != now:
        raise ValueError(f"{out} holds a training on another recording than {store.directory}: use another --out")
    write_atomically(begun, now)


def _train_tokenizer(
    recipe: Recipe, store: FrameStore, out: Path, device: torch.device, train_part: TrainPart, base: World | None
) -> Tokenizer:
    torch.manual_seed(recipe.seed)
    tokenizer = Tokenizer(recipe.tokenizer).to(device)
    fitted, finished = out / "tokenizer-fitted.safetensors", out / "tokenizer-final.safetensors"
    if base is not None and not finished.exists():
        _take_over(tokenizer, base.tokenizer)
        save_tensors(finished, tokenizer.state_dict())
    if finished.exists():
        _take_up(tokenizer, finished, device)
        return tokenizer.eval()
    if fitted.exists():
        _take_up(tokenizer, fitted, device)
    else:
        tokenizer.fit(next(frame_batches(store, 1024, device, recipe.seed, tokenizer.config.stride))["frames"])
        save_tensors(fitted, tokenizer.state_dict())
    discriminator = new_discriminator(recipe.tokenizer_phases, device)

    def loss(phase: Phase) -> Loss:
        config = ReconstructionConfig(**phase.settings)
        return lambda batch: tokenizer.loss(config=config, discriminator=discriminator, **batch)

    def batches(phase: Phase, seed: int) -> Iterator[Batch]:
        if tokenizer.config.carries:
            return ahead(moved_batches(store, phase.batch, device, seed))
        return frame_batches(store, phase.batch, device, seed, tokenizer.config.stride)

    train_part(tokenizer, name="tokenizer", rival=discriminator).run(recipe.tokenizer_phases, loss, batches)
    save_tensors(finished, tokenizer.state_dict())
    return tokenizer.eval()


def _take_up(tokenizer: Tokenizer, path: Path, device: torch.device) -> None:
    """Go on with what an earlier run saved; ValueError if it has other sizes."""
    try:
        tokenizer.load_state_dict(load_tensors(path, device)[0])
    except RuntimeError as error:
        raise ValueError(f"{path} is of another recipe; use another --out ({error})") from None


def _take_over(ours: nn.Module, theirs: nn.Module) -> None:
    """Begin with the weights of another network; ValueError if it has other sizes."""
    try:
        ours.load_state_dict(theirs.state_dict())
    except RuntimeError as error:
        raise ValueError(f"the World to begin with has other sizes than the recipe: {error}") from None


def _other_sizes(
    recipe: Recipe, store: FrameStore, tokenizer: Tokenizer, out: Path, device: torch.device, show: bool
) -> list[Recorded]:
    """Films of the recipe's further sizes, each of other seeds."""
    recorded = []
    for number, (height, width) in enumerate(recipe.sizes, 1):
        name = f"{height}x{width}"
        record_store(
            store.env_id, recipe.frames, out / f"frames-{name}",
            env_kwargs=store.env_kwargs | {"size": [height, width]}, policy=store.policy,
            seed=recipe.seed + number * _SEEDS, episode_frames=recipe.episode_frames, progress=show,
        )  # fmt: skip
        films = FrameStore.open(out / f"frames-{name}")
        recorded.append((films, _encode(tokenizer, films, out / f"latents-{name}.npy", device, show)))
    return recorded


def _encode(tokenizer: Tokenizer, store: FrameStore, path: Path, device: torch.device, show: bool) -> np.ndarray:
    """The latents of a recording, float16 (N // stride, h, w, C), computed once and kept in `path`."""
    height, width = store.size
    shape = (len(store.frames) // tokenizer.config.stride, height // 16, width // 16, tokenizer.config.latent_channels)
    if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
        clear_leftovers(path)
        # A full disk under a memory map would be a crash.
        free_space_or_error(path.parent, 2 * int(np.prod(shape)), "encoding", "free some space, or record fewer frames")
        bar = tqdm(total=shape[0], unit=" latents", desc="encoding", disable=not show)
        with bar, replacing(path) as temporary:
            array = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
            for rows, latents in encode_store(tokenizer, store, device):
                array[rows] = latents
                bar.update(len(latents))
            array.flush()
    return np.load(path, mmap_mode="r")


def _held_out(recipe: Recipe, store: FrameStore, out: Path) -> FrameStore:
    """Episodes of seeds that are not in the recording; the recording itself if it has no environment.

    ValueError if none of them is as long as a start context.
    """
    length = _start_frames(recipe)
    episode = recipe.start_episode_frames or 2 * length
    held = store
    if store.env_id:
        record_store(
            store.env_id, recipe.starts * episode, out / "starts", env_kwargs=store.env_kwargs, policy=store.policy,
            seed=recipe.start_seed, episode_frames=episode, progress=False,
        )  # fmt: skip
        held = FrameStore.open(out / "starts")
    if held.lengths.max() < length:
        raise ValueError(f"no episode has {length} frames, which a start context needs: record longer ones")
    return held


def _overlay(recipe: Recipe, store: FrameStore, out: Path, base: World | None) -> Tensor | None:
    """What stays on the screen in the recording, found once and kept; if nothing does, what did in the World before."""
    if recipe.field_of_view is None:
        return None
    path = out / "overlay.safetensors"
    if not path.exists():
        found = overlay_of(store, recipe.field_of_view)
        if found is None and base is not None:
            found = base.overlay
        save_tensors(path, {} if found is None else {"overlay": found})
    return load_tensors(path)[0].get("overlay")


def _start_frames(recipe: Recipe) -> int:
    return min(recipe.start_frames, recipe.context_length)


def _starts(recipe: Recipe, held: FrameStore, tokenizer: Tokenizer, device: torch.device) -> Starts:
    """The start contexts: the ends of held-out episodes, those first that were cut off: the others are about to end."""
    length = _start_frames(recipe)
    latents, actions, last, captions = [], [], [], []
    long_enough = np.flatnonzero(held.lengths >= length)
    ended = np.asarray(held.terminated)[held.starts[long_enough] + held.lengths[long_enough] - 1]
    for episode in long_enough[np.argsort(ended, kind="stable")][: recipe.starts]:
        first = int(held.starts[episode] + held.lengths[episode] - length)
        with torch.no_grad():
            frames_here = torch.from_numpy(np.array(held.frames[first : first + length])).to(device)
            latents.append(tokenizer.encode(frames_here).float().cpu())
        last.append(frames_here[-1].cpu())
        actions.append(torch.from_numpy(np.array(held.actions[first : first + length - 1])))
        captions.append(next(iter(held.captions(episode)), ""))
    return Starts(torch.stack(latents), torch.stack(actions), torch.stack(last), captions)


def _forcing(recipe: Recipe, phase: Phase) -> ForcingConfig:
    """The training mix of a phase; ValueError that names a setting which there is not, or does not fit the batch."""
    mix = ForcingConfig.model_validate(recipe.forcing.model_dump() | phase.settings)
    if phase.batch % mix.copies:
        raise ValueError(f"with energy every clip comes twice, so a batch cannot be of {phase.batch}: make it even")
    if not recipe.dynamics.moves and (mix.motion_weight or mix.follow_weight or mix.pixel_weight):
        raise ValueError(
            "a dynamics that moves nothing has no flow to learn: leave out motion_weight, follow_weight, pixel_weight"
        )
    if mix.own and phase.time < 2:
        raise ValueError(f"clips that go on need at least 2 frames: raise time ({phase.time}), or leave out own")
    if mix.own and not mix.own_clips(phase.batch):
        raise ValueError(f"own {mix.own} of a batch of {phase.batch} is no clip: raise one of them, or leave out own")
    return mix


def _train_dynamics(
    recipe: Recipe, store: FrameStore, latents: np.ndarray, tokenizer: Tokenizer, starts: Starts,
    overlay: Tensor | None, out: Path, device: torch.device, train_part: TrainPart, base: World | None,
) -> tuple[Path, int]:  # fmt: skip
    """The World's path, and how many steps its dynamics was trained for."""
    spec = WorldSpec(
        name=recipe.name, size=store.size, fps=store.fps, action=store.action, context_length=recipe.context_length,
        steps=recipe.steps, context_noise=recipe.context_noise, temperature=recipe.temperature,
        field_of_view=recipe.field_of_view, guidance_scale=recipe.guidance_scale,
        simulator=store.env_id or None, simulator_kwargs=store.env_kwargs, description=recipe.description,
    )  # fmt: skip
    config = DynamicsConfig(
        **recipe.dynamics.model_dump(), latent_channels=recipe.tokenizer.latent_channels, action_dim=spec.action_dim,
        policy_logits=spec.layout.logits, reward_values=_reward_values(store, base),
    )  # fmt: skip
    painter = None
    keeps = recipe.painter is None and recipe.field_of_view is not None
    if keeps and base is not None and base.painter is not None:
        painter = base.painter  # it paints the same latents, in as many steps and guided as far as it was
        paints = {"painter_steps": base.spec.painter_steps, "guidance_scale": base.spec.guidance_scale}
        spec = spec.model_copy(update=paints)
    torch.manual_seed(recipe.seed + 1)
    dynamics = Dynamics(config).to(device)
    if base is not None:
        _take_over(dynamics, base.dynamics.with_rewards(config.reward_values))
    if config.moves:  # also then: Worlds of before format 4 had trained what must stay an inverse
        dynamics.motion.start_from(tokenizer)

    # Of the phase in progress; of the last one when all are finished.
    mix = _forcing(recipe, recipe.dynamics_phases[-1])
    made = places = torch.zeros(0, device=device)  # of the clips that go on, in the phase in progress

    def save_world(average: dict[str, Tensor]) -> None:
        copy = Dynamics(config)
        copy.load_state_dict({key: value.detach().cpu() for key, value in average.items()})
        trained = spec.model_copy(update={"shortcut": mix.shortcut > 0})
        World(trained, tokenizer, copy, starts, overlay, painter).save(out / "world")

    def loss(phase: Phase) -> Loss:
        nonlocal mix, made, places
        mix = _forcing(recipe, phase)
        made = torch.zeros(mix.own_clips(phase.batch), phase.time, *latents.shape[1:], device=device)
        places = torch.zeros(len(made), *store.size, 2, device=device)
        return lambda batch: dynamics_loss(dynamics, spec.layout, mix, made=made, places=places, **batch)

    def batches(phase: Phase, seed: int) -> Iterator[Batch]:  # `Training` asks for the loss of a phase before these
        motion = config.sees_motion or mix.motion_weight > 0
        clips = ahead(clip_batches(
            store, latents, phase.batch // mix.copies, phase.time, device, seed, motion=motion,
            pixels=mix.pixel_weight > 0, own=len(made) // mix.copies, own_depth=mix.own_depth, rare=mix.rare,
            rare_rows=mix.rare_weight > 0,
        ))  # fmt: skip
        if mix.copies == 2:
            clips = twice(clips)
        if not len(made):
            return clips
        return going_on(clips, made, places, dynamics, tokenizer, spec.field_of_view, overlay)

    training = train_part(dynamics, name="dynamics", on_checkpoint=save_world)
    training.run(recipe.dynamics_phases, loss, batches)
    return out / "world", training.progress.step


def _reward_values(store: FrameStore, base: World | None) -> list[float]:
    """What rewards are told by: as in the World to begin with, if it can tell all there are; else by those recorded."""
    found = reward_values(store.rewards[rows_of(store)])
    learned = found if base is None else base.dynamics.config.reward_values
    return learned if learned[0] <= found[0] and found[-1] <= learned[-1] else found
