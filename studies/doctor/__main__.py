"""The command."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

import studies.doctor
from studies.doctor import machine
from studies.doctor.checks import Examination
from studies.doctor.line import Line
from studies.doctor.report import page, verdict
from studies.workers.verdict import VERDICT

PAGE = "doctor.md"


def main(arguments: list[str] | None = None) -> int:
    """0, also without a GPU; 1 if a check is wrong or has failed."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.doctor", description=studies.doctor.__doc__
    )
    parser.add_argument("--gpus", type=int, help="examine so many; default: all that torch sees")
    parser.add_argument("--storage", type=Path, default=Path("runs"), help="where studies look")
    options = parser.parse_args(arguments)
    began, present = time.monotonic(), torch.cuda.device_count()
    if options.gpus is not None and not 0 <= options.gpus <= present:
        print(f"error: --gpus is {options.gpus}; torch sees {present}")
        return 2
    facts = machine.facts()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    count = present if options.gpus is None else options.gpus
    if count == 0:
        print("no GPU to examine: studies train on CPUs, one trial per core")
    options.storage.mkdir(parents=True, exist_ok=True)
    lines = examined(count, options.storage)
    print(f"{written(facts, lines, options.storage)}, after {time.monotonic() - began:.0f} s")
    return int(any(line.status in ("wrong", "failed") for line in lines))


def examined(count: int, folder: Path) -> list[Line]:
    """The lines of the first `count` GPUs."""
    lines: list[Line] = []
    for index in range(count):
        examination = Examination(torch.device("cuda", index), folder)
        examination.run()
        lines += examination.lines
    return lines


def written(facts: Mapping[str, str], lines: Sequence[Line], folder: Path) -> str:
    """Leave page and JSON in `folder`; the verdict in a line."""
    said = verdict(lines)
    whole = {"machine": facts, "lines": list(map(asdict, lines)), "verdict": asdict(said)}
    (folder / VERDICT).write_text(json.dumps(whole, indent=1))
    (folder / PAGE).write_text(page(facts, lines, said))
    return f"verdict: {said}, in {folder / PAGE} and {folder / VERDICT}"


if __name__ == "__main__":
    raise SystemExit(main())
