"""The Dockerfile, read into instructions and, as far as that goes without an engine, carried out in a directory.

Every step but FROM, COPY --from, LABEL and USER is tried: files are copied, the commands of RUN run, and what the image
would start is started. The environment is /app in the image and `<root>/app` here.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Instruction:
    """One instruction, such as COPY; `text` is what follows its name, on one line."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """What follows, as a list: written in JSON or not."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return shlex.split(self.text)


def read() -> list[Instruction]:
    """Return the Dockerfile's instructions in their order."""
    lines = (REPOSITORY / "Dockerfile").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [Instruction(*line.split(" ", 1)) for line in joined.splitlines() if line]


def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage, without what comes before the first FROM."""
    found: list[list[Instruction]] = []
    for instruction in read():
        if instruction.name == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def arguments() -> dict[str, str]:
    """Return the defaults of the build's arguments."""
    pairs = (step.text.partition("=") for step in read() if step.name == "ARG")
    return {name: default for name, _, default in pairs}


def is_in_context(path: str) -> bool:
    """Whether .dockerignore lets a path of the repository through; the last pattern that fits decides."""
    decided = True
    for line in (REPOSITORY / ".dockerignore").read_text("utf-8").split():
        pattern = line.removeprefix("!")
        whole = re.sub(r"^\*\*/", "*", pattern)
        if any(fnmatch(part, whole) for part in (path, *map(str, Path(path).parents[:-1]))):
            decided = line.startswith("!")
    return decided


def build(root: Path) -> None:
    """Carry out the first stage below `root`, with the Python that runs this."""
    environment = {
        name: value
        for name, value in os.environ.items()
        # The machine's own way to packages stays; what a virtual environment adds does not.
        if name not in {"VIRTUAL_ENV", "PYTHONPATH", "HOME"}
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REVISION": "abc1234",
    }
    for step in stages()[0]:
        if step.name == "COPY":
            *sources, target = step.words
            for source in sources:
                _copy(source, Path(f"{root}{target}"))
        if step.name == "RUN":
            shell_or_not = step.words if step.text.startswith("[") else ["sh", "-c", step.text]
            subprocess.run(
                [_below(root, word) for word in shell_or_not], env=environment, check=True
            )


def _copy(source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    origin = REPOSITORY / source
    if origin.is_file():
        shutil.copy(origin, target)
    else:
        shutil.copytree(
            origin,
            target,
            ignore=lambda directory, names: [
                name
                for name in names
                if not is_in_context(str(Path(directory, name).relative_to(REPOSITORY)))
            ],
        )


def _below(root: Path, text: str) -> str:
    """Put what the Dockerfile has at the top of the image below `root`."""
    return re.sub(r"(?<![\w./$])/(app|build)\b", rf"{root}/\1", text)


def started(root: Path, name: str) -> list[str]:
    """Return the command of ENTRYPOINT or HEALTHCHECK, with the environment that `build` made below `root`."""
    (step,) = (step for step in stages()[-1] if step.name == name)
    words: list[str] = json.loads(step.text[step.text.index("[") :])
    return [_below(root, word) for word in words]
