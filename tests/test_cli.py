"""The command as a whole."""

import pytest
import typer

import handfast
from handfast.cli import app

GROUP = typer.main.get_command(app)
COMMANDS = [(name,) for name in GROUP.commands if name != "data"]
COMMANDS += [("data", name) for name in GROUP.commands["data"].commands]


def test_version(handfast_command):
    assert handfast_command("--version")[:2] == (0, f"handfast {handfast.__version__}\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_examples(handfast_command, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "200")
    code, stdout, stderr = handfast_command(*command, "--help")
    assert (code, stderr) == (0, "")
    _, examples = stdout.split("Example", 1)
    assert f"handfast {' '.join(command)}" in examples
