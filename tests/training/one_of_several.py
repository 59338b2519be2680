"""A process that trains the small network; tests start it, together with others or to kill it.

python one_of_several.py DATA OUT STEPS SECONDS_BETWEEN_CHECKPOINTS
"""

import sys
from pathlib import Path

import torch
from human3r_lab.training.duration import Cadence, Duration
from human3r_lab.training.processes import Processes
from safetensors.torch import save_file

from tests.training.small import small_trainer


def main() -> None:
    data, out, steps, checkpoint_s = sys.argv[1:]
    torch.set_num_threads(1)
    processes = Processes.join("cpu")
    trainer = small_trainer(Path(data), Path(out), processes=processes)
    trainer.run(Duration(steps=int(steps)), cadence=Cadence(float(checkpoint_s)))
    save_file(trainer.average(), Path(out) / f"rank-{processes.rank}.safetensors")
    processes.leave()


if __name__ == "__main__":
    main()
