"""The command that prunes: thin, with one line for what is wrong, and nothing written then."""

import json

import pytest
import torch
from safetensors.torch import load_file

from handfast.training.checkpoint import load_checkpoint


@pytest.fixture
def prune(handfast_command, monkeypatch, tmp_path):
    """The command, run in an empty folder; the object that it prints, as --json is asked for."""
    monkeypatch.chdir(tmp_path)

    def prune(*arguments):
        code, stdout, stderr = handfast_command("prune", *arguments, "--json")
        assert (code, stderr) == (0, "")
        return json.loads(stdout.splitlines()[-1])

    return prune


def test_a_level_becomes_a_checkpoint_of_its_own(prune, dense_checkpoint, tmp_path):
    whole = dense_checkpoint("dense-hand21-supervised")
    facts = prune(whole, "--level", "3", "--out", "new/l3.safetensors")
    net, card = load_checkpoint(tmp_path / "new" / "l3.safetensors")
    assert facts["model"] == card["name"] == "dense-hand21-l3" and facts["kept_stack"] is None
    assert facts["parameters"] == sum(p.numel() for p in net.parameters()) < facts["parameters_before"]
    before = load_file(whole)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_the_weaker_stack_is_cut(prune, dense_checkpoint, tmp_path):
    pytest.importorskip("matplotlib")
    two = dense_checkpoint("dense-2stack")
    facts = prune(two, "--stacks", "1", "--supervised", "--out", "one.safetensors", "--plot", "norms.png")
    assert facts["model"] == "dense-1stack-supervised" and facts["parameters_before"] == 5_827_804
    totals = [sum(blocks.values()) for blocks in facts["norms"]]
    assert len(totals) == 2 and facts["kept_stack"] == 1 + totals.index(max(totals))
    net, card = load_checkpoint(tmp_path / "one.safetensors")
    name = "hourglass.skip.2.body.0.0.weight"
    kept = load_file(two)[f"stacks.{facts['kept_stack'] - 1}.{name}"]
    assert torch.equal(net.state_dict()[f"stacks.0.{name}"], kept) and card["metrics"] == {}
    assert (tmp_path / "norms.png").read_bytes().startswith(b"\x89PNG")


def test_facts_are_printed(handfast_command, dense_checkpoint, tmp_path):
    out = tmp_path / "one.safetensors"
    code, stdout, stderr = handfast_command(
        "prune", dense_checkpoint("dense-2stack"), "--stacks", "1", "--out", out
    )
    assert (code, stderr) == (0, "")
    for expected in (
        "dense-1stack",
        "5,827,804",
        "2,923,902",
        "kept_stack",
        "stack 1 weighs",
        "stack 2 weighs",
    ):
        assert expected in stdout


BAD_INPUT = {
    "nothing to do": ("dense-lean-l3", (), "nothing to cut: expected --stacks 1, --level N or --supervised"),
    "one stack already": (
        "dense-lean-l3",
        ("--stacks", "1"),
        "has one stack already; --level N cuts deeper",
    ),
    "two stacks": ("dense-2stack", ("--stacks", "2"), "--stacks: expected 1, got 2"),
    "both ways": ("dense-lean-l3", ("--level", "3", "--supervised"), "choose one"),
    "no head": ("dense-lean-l3", ("--level", "2"), "level 2: expected one stack with a head there"),
    "a level of two": ("dense-2stack", ("--level", "4"), "got 2 with heads"),
    "a nameless net": (
        "dense-lean-l3",
        ("--supervised",),
        "in models has joints 14, stacks 1",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(handfast_command, dense_checkpoint, tmp_path, case):
    name, options, expected = BAD_INPUT[case]
    out = tmp_path / "out.safetensors"
    code, stdout, stderr = handfast_command("prune", dense_checkpoint(name), *options, "--out", out)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and expected in stderr
    assert not out.exists()


def test_other_networks_are_refused(handfast_command, tmp_path):
    import handfast

    toflike = f"{handfast.__path__[0]}/assets/tofnet-tof8.safetensors"
    code, _, stderr = handfast_command(
        "prune", toflike, "--level", "3", "--out", tmp_path / "out.safetensors"
    )
    assert code == 2 and "expected dense regression, got tofnet-tof8" in stderr


def test_a_packaged_checkpoint_is_known_by_name(handfast_command, tmp_path):
    def pruned(level):
        out = tmp_path / "pruned.safetensors"
        return handfast_command("prune", "dense-hand21", "--level", level, "--out", out, "--json")

    code, _, stderr = pruned("3")
    assert code == 2 and "level 3: expected one stack with a head there" in stderr
    code, stdout, _ = pruned("4")
    assert code == 0 and json.loads(stdout.splitlines()[-1])["model"] == "dense-hand21"
