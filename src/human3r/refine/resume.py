"""Where an interrupted refinement goes on: a small file beside the wanted output."""

from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from human3r.atomic import sha256_of, whole_file
from human3r.errors import InputError
from human3r.npz import read_npz
from human3r.refine.refinement import Options, Progress
from human3r.refine.unknowns import State


class ResumeFile:
    """Keeps the state after each round; of the same input and options it goes on there."""

    def __init__(self, out: Path, people_file: Path, options: Options) -> None:
        """Nothing is read or written yet.

        Args:
            out: folder that the refinement will write.
            people_file: of the input, by whose content it is recognised.
            options: of the refinement.
        """
        self.path = out.with_name(f".{out.name}.refine-resume.npz")
        self._key = f"{sha256_of(people_file)} {sorted(asdict(options).items())}"

    def read(self) -> Progress | None:
        """Where to go on; None to begin."""
        if not self.path.is_file():
            return None
        try:
            arrays = read_npz(
                self.path, None, InputError, "an interrupted refinement", "Remove it."
            )
        except InputError:
            return None
        names = [field.name for field in fields(State)]
        if str(arrays.get("key")) != self._key or any(name not in arrays for name in names):
            return None
        state = State(**{name: arrays[name] for name in names})
        return Progress(int(arrays["rounds_done"]), state, int(arrays["steps"]))

    def write(self, progress: Progress) -> None:
        """Remember a state.

        Raises:
            OutputError: it cannot be written.
        """
        state = {field.name: getattr(progress.state, field.name) for field in fields(State)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as file:
            np.savez(
                file,
                key=np.array(self._key),
                rounds_done=np.array(progress.rounds_done),
                steps=np.array(progress.steps),
                **state,
            )

    def remove(self) -> None:
        """The refinement is complete."""
        self.path.unlink(missing_ok=True)
