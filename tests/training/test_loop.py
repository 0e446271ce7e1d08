"""The training loop: it learns, and it stops and goes on at any moment without losing what it had."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from worldsim import checkpoint
from worldsim.checkpoint import load_tensors, save_tensors
from worldsim.machine import compiler_lacks
from worldsim.training import loop
from worldsim.training.loop import Loss, Phase, Training

CPU = torch.device("cpu")


def phase(seconds: float) -> Phase:
    return Phase(minutes=seconds / 60, batch=16, rate=1e-2, rate_end=1e-2)


def batches(phase: Phase, seed: int) -> Iterator[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    while True:
        yield {"x": torch.randn(phase.batch, 4, generator=draw)}


def fit(directory: Path, phases: list[Phase], module: nn.Linear | None = None, **options: object) -> Training:
    """Teach a linear layer to double its input."""
    torch.manual_seed(0)
    module = nn.Linear(4, 4) if module is None else module

    def loss(phase: Phase) -> Loss:
        return lambda batch: {"loss": (module(batch["x"]) - 2 * batch["x"]).square().mean()}

    options = {"compiled": False, "average": 0.99} | options
    training = Training(module, directory, "linear", device=CPU, show=False, **options)  # type: ignore[arg-type]
    training.run(phases, loss, batches)
    return training


def test_it_learns_and_leaves_the_average_in_the_module(tmp_path: Path) -> None:
    training = fit(tmp_path, [phase(1.5)])
    assert training.progress.step > 100
    for key, value in training.module.state_dict().items():
        assert torch.equal(value, training.average[key])
    assert (training.module.weight - 2 * torch.eye(4)).abs().max() < 0.3


def test_the_first_step_of_each_shape_takes_none_of_the_budget(tmp_path: Path) -> None:
    """It compiles then."""
    module, seen = nn.Linear(4, 4), set()

    def loss(phase: Phase) -> Loss:
        def of_batch(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            if len(batch["x"]) not in seen and len(seen) > 1:  # the FLOPs of the first are counted before
                time.sleep(2)
            seen.add(len(batch["x"]))
            return {"loss": module(batch["x"]).square().mean()}

        return of_batch

    def several(phase: Phase, seed: int) -> Iterator[dict[str, Tensor]]:
        while True:
            yield from ({"x": torch.randn(rows, 4)} for rows in (2, 3, 4, 5))

    training = Training(module, tmp_path, "linear", device=CPU, show=False, compiled=False)
    training.run([phase(0.3)], loss, several)
    assert seen == {2, 3, 4, 5}
    assert training.progress.step > 20
    assert training.progress.seconds < 1


def test_it_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    first = fit(tmp_path, [phase(0.3)])
    steps, weight = first.progress.step, first.average["weight"].clone()
    assert fit(tmp_path, [phase(0.3)]).progress.step == steps, "the budget is used up"
    more = fit(tmp_path, [phase(0.6)])
    assert more.progress.step > steps
    assert more.progress.seconds >= 0.6
    assert not torch.equal(more.average["weight"], weight)
    assert more.optimizer.state[more.parameters["weight"]]["step"] > steps, "the optimizer's state came along"


def test_a_rival_is_trained_by_the_same_loss_and_kept(tmp_path: Path) -> None:
    def run(seconds: float) -> tuple[Training, nn.Linear]:
        torch.manual_seed(0)
        module, rival = nn.Linear(4, 4), nn.Linear(4, 4)

        def loss(phase: Phase) -> Loss:
            def both(batch: dict[str, Tensor]) -> dict[str, Tensor]:
                x = batch["x"]
                return {"loss": (module(x) - 2 * x).square().mean() + (rival(x) + x).square().mean()}

            return both

        training = Training(module, tmp_path, "pair", device=CPU, rival=rival, compiled=False, show=False)
        training.run([phase(seconds)], loss, batches)
        return training, rival

    first, rival = run(1.5)
    assert (rival.weight + torch.eye(4)).abs().max() < 0.3
    assert set(first.average) == {"weight", "bias"}, "a rival has no average"
    again, restored = run(1.5)
    assert again.progress.step == first.progress.step
    assert torch.equal(restored.weight, rival.weight)
    assert again.optimizer.state[restored.weight]["step"] == first.progress.step


def test_phases_follow_each_other(tmp_path: Path) -> None:
    seen: list[int] = []

    def loss(phase: Phase) -> Loss:
        seen.append(phase.batch)
        return lambda batch: {"loss": module(batch["x"]).square().mean()}

    module = nn.Linear(4, 4)
    training = Training(module, tmp_path, "two", device=CPU, compiled=False, show=False)
    training.run([phase(0.1), phase(0.1).model_copy(update={"batch": 8})], loss, batches)
    assert seen == [16, 8]


def test_ctrl_c_saves_first(tmp_path: Path) -> None:
    class Interrupted(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Interrupted.calls += 1
            if Interrupted.calls == 30:
                raise KeyboardInterrupt
            return super().forward(x)

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, [phase(60)], module=Interrupted(4, 4))
    assert fit(tmp_path, [phase(0.01)]).progress.step >= 28


def test_a_kill_while_saving_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.ones(3)})

    def dies(tensors: dict[str, Tensor], file: Path, facts: dict[str, str]) -> None:
        file.write_bytes(b"half a fi")
        raise SystemExit  # as near to a kill as a test can come and still look at the result

    monkeypatch.setattr(checkpoint, "save_file", dies)
    with pytest.raises(SystemExit):
        save_tensors(path, {"x": torch.zeros(3)})
    assert torch.equal(load_tensors(path)[0]["x"], torch.ones(3))


def test_what_was_saved_is_read_even_if_it_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {})
    assert load_tensors(path) == ({}, {})
    save_tensors(path, {}, {"a": "b"})
    assert load_tensors(path) == ({}, {"a": "b"})


def test_a_full_disk_is_told_before_anything_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.ones(3)})
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"saving a.safetensors needs .* goes on from the last checkpoint"):
        save_tensors(path, {"x": torch.zeros(3)})
    assert torch.equal(load_tensors(path)[0]["x"], torch.ones(3))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    fit(tmp_path, [phase(0.05)])
    with pytest.raises(ValueError, match=r"linear\.safetensors is of another recipe"):
        fit(tmp_path, [phase(0.1)], module=nn.Linear(4, 3))


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path) -> None:
    module = nn.Linear(4, 4)
    training = Training(module, tmp_path, "nan", device=CPU, compiled=False, show=False)
    with pytest.raises(FloatingPointError, match="the loss of nan became nan at step"):
        training.run([phase(30)], lambda _: lambda batch: {"loss": module(batch["x"]).mean() * float("nan")}, batches)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    training = fit(tmp_path, [phase(0.1)])
    before = (tmp_path / "linear.safetensors").read_bytes()
    training.average["bias"][2] = float("nan")
    with pytest.raises(FloatingPointError, match="the weights of linear are no numbers any more at step"):
        training.save()
    assert (tmp_path / "linear.safetensors").read_bytes() == before


@pytest.mark.skipif(bool(compiler_lacks()), reason="torch.compile needs " + " and ".join(compiler_lacks()))
@pytest.mark.parametrize("fast", [torch.float32, torch.bfloat16])
def test_a_compiled_step_multiplies_in_what_this_machine_is_fast_in(
    fast: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "fast_dtype", lambda device: fast)
    training = Training(nn.Linear(4, 4), tmp_path, "linear", device=CPU, compiled=True, show=False)
    product = training._autocast(lambda batch: {"loss": batch["x"] @ batch["x"]})({"x": torch.ones(2, 2)})["loss"]
    assert product.dtype == fast


def test_a_compiled_step_learns(tmp_path: Path) -> None:
    training = fit(tmp_path, [phase(2)], compiled=True, average=0.9)
    assert (training.module.weight - 2 * torch.eye(4)).abs().max() < 0.3


def test_damaged_checkpoints_are_told(tmp_path: Path) -> None:
    (tmp_path / "linear.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ValueError, match="damaged"):
        fit(tmp_path, [phase(0.05)])
