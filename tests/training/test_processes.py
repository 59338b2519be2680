"""Real processes: one that is killed, and two that learn together."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from human3r_lab.training.batches import BatchMaker
from human3r_lab.training.checkpoints import list_checkpoints, load_newest
from human3r_lab.training.duration import Duration
from human3r_lab.training.forward import forward
from human3r_lab.training.losses import compute_losses
from human3r_lab.training.processes import Processes
from safetensors.torch import load_file

from human3r.errors import ConfigError
from tests.training.small import PLAN, sequences, small_trainer

ROOT = Path(__file__).parents[2]


def start(data: Path, out: Path, steps: int, checkpoint_s: float, **environment: str):
    arguments = ["-m", "tests.training.one_of_several", data, out, steps, checkpoint_s]
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_training_goes_on_bit_for_bit(data_folder, tmp_path):
    killed = start(data_folder, tmp_path / "killed", 1000, 0.0)
    deadline = time.monotonic() + 60
    while len(list_checkpoints(tmp_path / "killed" / "checkpoints")) < 2:
        assert killed.poll() is None, killed.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()

    resumed = small_trainer(data_folder, tmp_path / "killed")
    assert resumed.resume()
    done = resumed.step
    assert 2 <= done < 1000
    # The killed process had 1000 steps in mind, which decides its rates.
    resumed.run(Duration(steps=1000), should_stop=lambda: resumed.step == done + 1)
    straight = small_trainer(data_folder, tmp_path / "straight")
    straight.run(Duration(steps=1000), should_stop=lambda: straight.step == done + 1)

    ours, theirs = (load_newest(t.checkpoints) for t in (resumed, straight))
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in ours.tensors.items():
        assert torch.equal(tensor, theirs.tensors[name]), name
    same = ("step", "updates", "skipped")
    assert [ours.progress[n] for n in same] == [theirs.progress[n] for n in same]
    assert not list(resumed.checkpoints.glob("*.part"))


@pytest.mark.slow
def test_two_processes_learn_as_one(data_folder, tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    together = [
        start(
            data_folder,
            tmp_path,
            2,
            1000.0,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    for process in together:
        _, words = process.communicate(timeout=120)
        assert process.returncode == 0, words
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in range(2))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    expected = alone(data_folder, tmp_path / "alone")
    for name, tensor in expected.items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


def alone(data_folder: Path, out: Path) -> dict[str, torch.Tensor]:
    """The same two steps in one process: the mean of both gradients."""
    trainer = small_trainer(data_folder, out)
    makers = [BatchMaker(*sequences(data_folder), PLAN, rank, 2) for rank in range(2)]
    for step in range(2):
        trainer.step = step
        trainer._optimiser.clear()
        for maker in makers:
            batch = maker(step)
            predicted = forward(trainer.network, batch, trainer._step_options())
            loss, _ = compute_losses(
                predicted, batch, trainer._body, trainer.recipe.loss, trainer._hints
            )
            (loss / 2).backward()
        trainer._optimiser.gradients()
        trainer._optimiser.shorten()
        trainer._optimiser.step(trainer._rate_at(Duration(steps=2)))
    return trainer.average()


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes = Processes.join("cpu")
    assert (processes.rank, processes.count, processes.is_first) == (0, 1, True)
    value = torch.ones(3)
    processes.average([value])
    assert processes.largest(2.5) == 2.5
    assert torch.equal(value, torch.ones(3))


def test_half_an_environment_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="torchrun"):
        Processes.join("cpu")
