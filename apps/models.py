"""`streammem models`: which models are here, and the command that adds one."""

import argparse

from apps.output import megabytes, note, print_json
from streammem import model_files
from streammem.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """List the models, or add one."""
    if arguments.action == "add":
        if arguments.name is None:
            raise UsageError("say which model to add, such as: streammem models add embedded")
        model_files.add(arguments.name, progress=note)
        return 0
    states = model_files.status()
    if arguments.json:
        print_json(
            [
                {
                    "name": state.name,
                    "present": state.present,
                    "bytes": state.bytes,
                    "licence": state.licence,
                    "purpose": state.purpose,
                }
                for state in states
            ]
        )
        return 0
    for state in states:
        here = "present" if state.present else f"missing: streammem models add {state.group}"
        print(f"{state.name}: {state.purpose}; {megabytes(state.bytes)}, {state.licence}; {here}")
    return 0
