"""Worlds on disk: save, load, and what is said of files that are wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

import worldsim
from worldsim.spec import WorldSpec, space_to_json
from worldsim.world import FORMAT, UnknownWorldError, World, available_worlds


@pytest.fixture
def copy(tiny_world_dir: Path, tmp_path: Path) -> Path:
    """A World's directory of the test's own, to be damaged."""
    return Path(shutil.copytree(tiny_world_dir, tmp_path / "copy"))


def edit(path: Path, **changes: object) -> None:
    data = json.loads((path / "spec.json").read_text())
    (path / "spec.json").write_text(json.dumps(data | changes))


def test_what_is_saved_is_loaded(tiny_world_dir: Path, tmp_path: Path) -> None:
    world = worldsim.load(tiny_world_dir, device="cpu", dtype="bfloat16")
    world.save(tmp_path / "again")
    again = worldsim.load(tmp_path / "again", device="cpu", dtype="bfloat16")
    assert again.spec == world.spec
    for part in ("tokenizer", "dynamics"):
        ours, theirs = getattr(world, part).state_dict(), getattr(again, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert torch.equal(world.starts.latents, again.starts.latents)
    assert {file.name for file in (tmp_path / "again").iterdir()} == {"spec.json", "weights.safetensors"}


def test_a_world_is_loaded_once_a_process(tiny_world_dir: Path) -> None:
    assert worldsim.load(tiny_world_dir, device="cpu") is worldsim.load(str(tiny_world_dir), device="cpu")


def test_an_unknown_world_lists_those_there_are() -> None:
    names = available_worlds()
    with pytest.raises(UnknownWorldError, match="there is no World 'nowhere'") as caught:
        worldsim.load("nowhere")
    assert all(name in str(caught.value) for name in names)


def test_a_checkpoint_that_does_not_fit_names_both_sides(copy: Path) -> None:
    data = json.loads((copy / "spec.json").read_text())
    edit(copy, dynamics=data["dynamics"] | {"condition_channels": 48})
    with pytest.raises(ValueError, match=r"dynamics\.\S+ is \(\S+.*\) in the file, but spec.json describes \("):
        worldsim.load(copy, device="cpu")


def test_a_missing_tensor_is_named(copy: Path) -> None:
    tensors = load_file(copy / "weights.safetensors")
    del tensors["dynamics.to_latent.weight"]
    save_file(tensors, copy / "weights.safetensors")
    with pytest.raises(ValueError, match=r"dynamics.to_latent.weight is missing in the file"):
        worldsim.load(copy, device="cpu")


def test_an_action_space_that_does_not_fit_the_weights_is_told(copy: Path) -> None:
    data = json.loads((copy / "spec.json").read_text())
    edit(copy, spec=data["spec"] | {"action": {"kind": "discrete", "n": 3, "start": 0}})
    with pytest.raises(ValueError, match=r"built for actions of 4 numbers .* action space has 3"):
        worldsim.load(copy, device="cpu")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "spec.json is not a World's spec"),
        (f'{{"format": {FORMAT}, "speck": 2}}', "speck"),
        ("\udcff", "not a World's spec"),
    ],
)
def test_a_broken_spec_names_the_file_and_the_field(copy: Path, content: str, message: str) -> None:
    (copy / "spec.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=message):
        worldsim.load(copy, device="cpu")


def test_a_world_of_another_format_is_refused(copy: Path) -> None:
    edit(copy, format=99, unheard_of="then")
    with pytest.raises(ValueError, match=f"a World of format 99; this version of worldsim reads format {FORMAT}"):
        worldsim.load(copy, device="cpu")


@pytest.mark.parametrize("name", available_worlds())
def test_what_ships_can_be_loaded(name: str) -> None:
    assert worldsim.load(name, device="cpu").spec.name == name


@pytest.mark.parametrize("content", [b"", b"not tensors at all", b"\xff" * 64])
def test_damaged_weights_are_told(copy: Path, content: bytes) -> None:
    (copy / "weights.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights.safetensors is damaged"):
        worldsim.load(copy, device="cpu")


def test_missing_weights_are_told(copy: Path) -> None:
    (copy / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"weights\.safetensors"):
        worldsim.load(copy, device="cpu")


def test_wrong_device_and_dtype_are_told(tiny_world_dir: Path) -> None:
    with pytest.raises(ValueError, match="dtype must be auto, float32 or bfloat16"):
        worldsim.load(tiny_world_dir, dtype="int8")
    with pytest.raises(ValueError, match="unknown device 'toaster'"):
        worldsim.load(tiny_world_dir, device="toaster")


def test_a_spec_refuses_what_it_does_not_know(tiny_spec: WorldSpec) -> None:
    with pytest.raises(ValidationError, match="colour"):
        WorldSpec.model_validate(tiny_spec.model_dump() | {"colour": 1})
    with pytest.raises(ValidationError, match="multiples of 16"):
        WorldSpec.model_validate(tiny_spec.model_dump() | {"size": (30, 48)})


def test_actions_outside_the_space_are_refused(tiny_spec: WorldSpec) -> None:
    with pytest.raises(ValueError, match="outside the action space"):
        tiny_spec.flatten({"forward": 2, "camera": [0, 0]})
    action = tiny_spec.action_space.sample()
    again = tiny_spec.unflatten(tiny_spec.flatten(action))
    assert again["forward"] == action["forward"]
    assert (again["camera"] == action["camera"]).all()


def test_a_random_world_leaves_the_global_generator_alone(tiny_spec: WorldSpec) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    World.random(tiny_spec)
    assert torch.equal(torch.rand(3), expected)


def test_a_world_may_have_actions_without_bounds(tiny_spec: WorldSpec, tmp_path: Path) -> None:
    action = space_to_json(spaces.Box(-np.inf, np.inf, (2,), np.float32))
    world = World.random(WorldSpec(**tiny_spec.model_dump() | {"action": action}), channels=32, heads=2, layers=3)
    world.save(tmp_path / "world")
    assert worldsim.load(tmp_path / "world").spec.action_space == world.spec.action_space


def test_a_world_keeps_its_overlay(carrying_world_dir: Path, tiny_spec: WorldSpec, tmp_path: Path) -> None:
    world = worldsim.load(carrying_world_dir, device="cpu", dtype="float32")
    assert world.overlay is not None
    assert world.overlay.dtype == torch.bool
    assert world.overlay.sum() == 8 * 12
    world.save(tmp_path / "again")
    assert torch.equal(worldsim.load(tmp_path / "again").overlay, world.overlay)
    parts = world.spec, world.tokenizer, world.dynamics, world.starts
    for wrong in (torch.zeros(32, 32, dtype=torch.bool), torch.zeros(32, 48)):
        with pytest.raises(ValueError, match="the overlay must be bool"):
            World(*parts, wrong)


def test_a_world_is_known_by_its_files(tiny_world_dir: Path, copy: Path) -> None:
    world = worldsim.load(tiny_world_dir)
    assert world.path == tiny_world_dir.resolve()
    assert worldsim.load(copy).digest == world.digest
    edit(copy, start_captions=["another"] * 4)
    assert worldsim.load(copy).digest != world.digest
