"""Settings from flags and a file: what was asked for wins, a memory keeps the rest."""

from argparse import Namespace
from pathlib import Path
from typing import get_args

import pytest

from apps.cli import build_parser, main
from apps.settings import Settings, read_settings
from apps.watch import memory_for, resume_command
from memory_banks.settings import MemoryConfig, Strategy
from memory_banks.tiered import open_memory
from tests.memory_banks.streams import ENCODER, fill


def understood(*flags: str) -> Namespace:
    return build_parser().parse_args(["ingest", "x.mp4", "--memory", "m.smem", *flags])


def went_on_with(path: Path, settings: Settings) -> MemoryConfig:
    """Return the configuration of a memory that is opened to take in more."""
    with memory_for(path, ENCODER, settings) as memory:
        if not memory.sources():
            fill(memory, 10)
    with open_memory(path) as memory:
        return memory.config


def test_a_memory_keeps_the_settings_it_was_made_with(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    toml = tmp_path / "s.toml"
    toml.write_text('[memory]\nconsolidation = "merge"\nworking_frames = 9\n')
    made = MemoryConfig(budget_mb=5.0, consolidation="merge", working_frames=9)
    first = understood("--config", str(toml), "--budget-mb", "5")
    assert went_on_with(path, read_settings(first)) == made
    assert went_on_with(path, read_settings(understood())) == made
    changed = went_on_with(path, read_settings(understood("--consolidation", "fifo")))
    assert changed == MemoryConfig(budget_mb=5.0, consolidation="fifo", working_frames=9)


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    toml = tmp_path / "s.toml"
    toml.write_text('[memory]\nconsolidation = "merge"\nbudget_mb = 7\n')
    settings = read_settings(understood("--config", str(toml), "--consolidation", "uniform"))
    assert settings.memory == {"consolidation": "uniform", "budget_mb": 7.0}


def test_every_strategy_is_named_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("ingest", "ask", "batch"):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        said = capsys.readouterr().out.replace(",", " ").split()
        assert {*get_args(Strategy)} <= {*said}, verb


@pytest.mark.parametrize("where", ["flag", "file"])
def test_a_wrong_strategy_is_answered_with_the_right_ones(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "s.toml"
    toml.write_text('[memory]\nconsolidation = "best"\n')
    flags = ["--consolidation", "best"] if where == "flag" else ["--config", str(toml)]
    assert main(["ingest", "x.mp4", "--memory", str(tmp_path / "m.smem"), *flags]) == 2
    allowed = ", ".join(get_args(Strategy))
    said = capsys.readouterr().err
    assert f"consolidation 'best' is not known; choose one of {allowed}" in said
    assert not (tmp_path / "m.smem").exists()


def test_the_command_that_resumes_has_the_same_settings() -> None:
    flags = ("--budget-mb", "5", "--consolidation", "merge", "--fps", "2")
    again = resume_command(understood(*flags)).split()[1:]
    assert vars(build_parser().parse_args(again)) == vars(understood(*flags))
