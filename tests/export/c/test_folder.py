"""The folder of C: whole, with a golden test that passes, and that fails when it should."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.export.c.folder import golden_of, write_c
from handfast.export.c.targets import TARGETS
from handfast.runtime.model import load_model, read_model

NAME = "tofnet-tof8"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function of a target and the numbers: the folder, and what write_c says of it."""
    done = {}

    def written(target, int8=False):
        if (target, int8) not in done:
            folder = tmp_path_factory.mktemp(target) / "new" / "folder"
            done[target, int8] = folder, write_c(read_model(NAME), NAME, target, folder, int8=int8)
        return done[target, int8]

    return written


def make(folder, *arguments):
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("no make or no C compiler is installed")
    flags = "CFLAGS=-std=c99 -O0 -Wall -Wextra -ffp-contract=off"
    command = ["make", "-s", "-C", folder, flags, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", TARGETS)
def test_a_folder_holds_all_that_its_files_include(written, target):
    folder, facts = written(target)
    assert {path.name: path.read_text() for path in folder.iterdir()} == facts.texts
    assert {"tofnet_tof8.h", "tofnet_tof8.c", "tofnet_tof8_weights.h", "Makefile", "golden.h"} <= set(
        facts.texts
    )
    for text in facts.texts.values():
        assert set(re.findall(r'#include "([^"]+)"', text)) <= set(facts.texts)
        assert not re.search(r"@[A-Z]+@", text)


@pytest.mark.parametrize("int8", [False, True])
def test_sizes_are_those_of_the_header(written, int8):
    folder, facts = written("generic", int8)
    assert f"TOFNET_TOF8_ARENA_BYTES {facts.arena_bytes}\n" in (folder / "tofnet_tof8.h").read_text()
    floats = 4 * load_model(NAME).card.parameters
    assert facts.weight_bytes == floats if not int8 else facts.weight_bytes < floats / 2


@pytest.mark.parametrize("int8", [False, True])
def test_the_golden_test_passes_and_fails_for_another_point(written, tmp_path, int8):
    folder, _ = written("generic", int8)
    folder = shutil.copytree(folder, tmp_path / "copy")
    done = make(folder, "test")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.splitlines()[-1] == "PASS"
    golden = (folder / "golden.h").read_text()
    first = golden.index("golden_keypoints[] = {") + len("golden_keypoints[] = {")
    (folder / "golden.h").write_text(golden[:first] + golden[first:].replace("0x1", "0x2", 1))
    done = make(folder, "test")
    assert done.returncode != 0 and done.stdout.splitlines()[-1] == "FAIL"


CPP = """
#include "floats.h"
#include "integers.h"
#include "golden.h"
#include <cstdio>
static uint8_t arena[FLOATS_ARENA_BYTES] __attribute__((aligned(64)));
static float keypoints[FLOATS_HANDS][FLOATS_KEYPOINTS][4];
static_assert(INTEGERS_ARENA_BYTES < sizeof arena, "one after the other");
int main()
{
    const int found = floats_run(golden_image, &keypoints[0][0][0], arena);
    std::printf("%d %d", found, integers_run(golden_image, &keypoints[0][0][0], arena));
}
"""


@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("g++")), reason="no C++ compiler is here")
def test_one_c_plus_plus_program_runs_a_network_in_floats_and_in_bytes(tmp_path):
    for name in ("floats", "integers"):
        write_c(read_model(NAME), name, "generic", tmp_path / name, int8=name == "integers")
    (tmp_path / "main.cpp").write_text(CPP)
    includes = ["-I", "floats", "-I", "integers"]
    flags = ["-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    for command in (
        ["cc", "-std=c99", *flags, "-c", "floats/floats.c"],
        ["cc", "-std=c99", *flags, "-c", "integers/integers.c"],
        ["g++", *flags, *includes, "main.cpp", "floats.o", "integers.o", "-lm", "-o", "main"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    assert said == "3 3"


def test_a_network_that_sees_colour_has_a_golden_frame_in_colour(tmp_path):
    write_c(read_model("tofnet-rgb"), "tofnet-rgb", "generic", tmp_path)
    golden = golden_of(read_model("tofnet-rgb"))
    assert golden.image.shape == (120, 160, 3) and golden.found
    done = make(tmp_path, "test")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.splitlines()[-1] == "PASS"


def test_a_network_that_sees_colour_has_no_8_bits(tmp_path):
    with pytest.raises(HandfastError, match="model tofnet-rgb: sees colour"):
        write_c(read_model("tofnet-rgb"), "tofnet-rgb", "generic", tmp_path / "out", int8=True)
    assert not (tmp_path / "out").exists()


def test_the_golden_frame_shows_both_hands():
    golden = golden_of(read_model(NAME))
    assert golden.image.shape == (120, 160) and golden.image.dtype == np.uint8
    assert golden.found == 3 and golden.keypoints.shape == (2, 8, 4)
    assert (golden.keypoints[..., :2] >= 0).all() and (golden.keypoints[..., :2] < [160, 120]).all()
    assert ((golden.keypoints[..., 2:] > 0) & (golden.keypoints[..., 2:] <= 1)).all()


@pytest.mark.parametrize("int8", [False, True])
def test_nothing_is_written_for_an_unknown_target(tmp_path, int8):
    with pytest.raises(HandfastError, match="target 'z80': expected generic, "):
        write_c(read_model(NAME), NAME, "z80", tmp_path / "out", int8=int8)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["golden", "maps", "vector", "bytes", "sums"])
def test_a_name_that_is_taken_is_refused(tmp_path, name):
    with pytest.raises(HandfastError, match=f"{name}: is what a file that every network needs is called"):
        write_c(read_model(NAME), name, "generic", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_makefile_of_something_else_stays(tmp_path):
    """Of the same network it is written anew."""
    (tmp_path / "Makefile").write_text("all:\n")
    with pytest.raises(HandfastError, match="has a Makefile already, which is not of tofnet-tof8"):
        write_c(read_model(NAME), NAME, "generic", tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("Makefile", "all:\n")]
    (tmp_path / "tofnet_tof8.h").touch()
    write_c(read_model(NAME), NAME, "generic", tmp_path)
    assert (tmp_path / "Makefile").read_text().startswith("# tofnet_tof8 for the target generic")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HandfastError, match="file"):
        write_c(read_model(NAME), NAME, "generic", tmp_path / "file")
