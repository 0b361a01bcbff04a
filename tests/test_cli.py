"""The command as a whole."""

import subprocess
import sys

import pytest
import typer

import handfast
from handfast.cli import app

GROUP = typer.main.get_command(app)
COMMANDS = [(name,) for name in GROUP.commands if name != "data"]
COMMANDS += [("data", name) for name in GROUP.commands["data"].commands]


def test_version(handfast_command):
    assert handfast_command("--version")[:2] == (0, f"handfast {handfast.__version__}\n")


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "handfast", "--version"]
    assert subprocess.check_output(command, text=True) == f"handfast {handfast.__version__}\n"


def test_what_python_users_need_comes_with_the_package():
    """Loaded when first asked for."""
    code = "import sys, handfast; print('cv2' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
    assert all(hasattr(handfast, name) for name in handfast.__all__) and not hasattr(handfast, "Follower")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_examples(handfast_command, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "200")
    code, stdout, stderr = handfast_command(*command, "--help")
    assert (code, stderr) == (0, "")
    _, examples = stdout.split("Example", 1)
    assert f"handfast {' '.join(command)}" in examples
