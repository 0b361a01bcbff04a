"""The packaged network's generated C on emulated processors: the same bits everywhere, within its budget."""

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from handfast.compression.calibration import calibration_images
from handfast.compression.integer import integer_logits
from handfast.compression.quantise import quantise
from handfast.export.c.emit import emit
from handfast.export.c.emit_int8 import emit_int8
from handfast.export.c.folder import golden_of, write_c
from handfast.export.c.network import read_network
from handfast.runtime.model import read_model

FIRMWARE = Path(__file__).parents[2] / "firmware"
MODEL = "tofnet-tof8"

ARM = ("arm-none-eabi-gcc", "qemu-system-arm")
AARCH64 = ("aarch64-linux-gnu-gcc", "qemu-aarch64", "qemu-system-aarch64")
WASM = ("clang", "wasm-ld", "node")
# A target of firmware/Makefile: what it is exported for, and the programs that it takes.
TARGETS = {
    "m4": ("cortex-m4", ARM),
    "m7": ("cortex-m4", ARM),
    "m55": ("cortex-m4", ARM),
    "m55-mve": ("mve", ARM),
    "aarch64": ("neon", AARCH64),
    "aarch64-bare": ("neon", AARCH64),
    "host": ("generic", ("gcc",)),
    "wasm": ("wasm", WASM),
    "wasm-scalar": ("generic", WASM),
}
# One frame's instructions, and the bytes of code and weights, as gcc 12 compiles them.
BUDGETS = {
    "float32": {
        "m4": (41_543_960, 179_396),
        "m7": (41_403_160, 179_924),
        "m55": (41_130_437, 180_320),
        "m55-mve": (16_748_062, 174_988),
        "aarch64-bare": (9_732_224, 212_444),
    },
    "int8": {
        "m4": (81_167_360, 72_820),
        "m7": (80_658_080, 72_848),
        "m55-mve": (81_197_687, 73_460),
        "aarch64-bare": (14_043_504, 84_340),
    },
}
TOLERANCE = 1.02  # for other releases of it
# Of code, weights and arena: the paper's, and what is left of it with bytes.
MEMORY_BYTES = {"float32": 300 * 1024, "int8": 128 * 1024}
NUMBERS = tuple(BUDGETS)
BUDGETED = [(target, numbers) for numbers, budgets in BUDGETS.items() for target in budgets]
FUSED = [*BUDGETED, ("aarch64", "float32")]


def make(target, model, out):
    """Build and run a target: exit code, stdout and stderr."""
    command = ["make", "-s", "-C", FIRMWARE, f"MODEL={model}", f"OUT={out}", target]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return result.returncode, result.stdout, result.stderr


def exported_for_here(target):
    """What a target is exported for. Skips the test without the programs that it takes."""
    exported_for, programs = TARGETS[target]
    for program in ("make", *programs):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; docs/firmware.md says which packages it takes")
    return exported_for


@pytest.fixture(scope="module")
def integers():
    """The network in 8 bits, calibrated once for all targets."""
    network = read_network(read_model(MODEL), MODEL)
    return quantise(network, calibration_images(*network.shapes[network.image][:0:-1]))


@pytest.fixture(scope="module")
def report(tmp_path_factory, integers):
    """A function that runs the golden frame on a target, once: the words of each line that it prints, and
    what the compiler and the emulator complain of."""
    done = {}
    golden = tmp_path_factory.mktemp("golden")
    write_c(read_model(MODEL), MODEL, "generic", golden)

    def report(target, numbers):
        exported_for = exported_for_here(target)
        if (target, numbers) not in done:
            folder = tmp_path_factory.mktemp(f"{target}-{numbers}")
            texts = (
                emit_int8(integers, MODEL, exported_for)
                if numbers == "int8"
                else emit(read_model(MODEL), MODEL, exported_for)
            )
            for file, text in (texts | {"golden.h": (golden / "golden.h").read_text()}).items():
                (folder / file).write_text(text)
            code, output, complaints = make(target, folder, folder / "out")
            assert code == 0, complaints
            done[target, numbers] = [line.split() for line in output.splitlines()], complaints
        return done[target, numbers]

    return report


@pytest.fixture(scope="module")
def fused_hashes(report):
    """A function of the numbers: the hashes of this computer's own run, if its processor has a fused
    multiply-add."""

    def fused_hashes(numbers):
        lines, _ = report("host", numbers)
        macros = subprocess.run(
            ["gcc", "-march=native", "-dM", "-E", "-"], input="", capture_output=True, text=True, check=True
        )
        if "__FP_FAST_FMAF" not in macros.stdout:
            pytest.skip("this computer's processor has no fused multiply-add to compare with")
        return hashes(lines)

    return fused_hashes


def value(lines, name):
    (found,) = [words[1] for words in lines if words[0] == name]
    return found


def hashes(lines):
    return value(lines, "keypoints_hash"), value(lines, "maps_hash")


def hash_of(*arrays):
    """FNV-1a over their bits."""
    total = 0xCBF29CE484222325
    for byte in b"".join(array.tobytes() for array in arrays):
        total = (total ^ byte) * 0x100000001B3 % 2**64
    return f"{total:016x}"


def network_bytes(lines):
    """Code and constants: the row below the heading of ``size``."""
    (row,) = [after for before, after in pairwise(lines) if before[0] == "text"]
    return int(row[0])


@pytest.mark.parametrize(("target", "numbers"), FUSED)
def test_all_processors_with_fused_multiply_add_give_the_same_bits(target, numbers, report, fused_hashes):
    lines, _ = report(target, numbers)
    assert hashes(lines) == fused_hashes(numbers)


@pytest.mark.parametrize(("target", "numbers"), [*FUSED, ("wasm", "float32"), ("wasm", "int8")])
def test_compilers_and_emulators_have_nothing_to_complain_of(target, numbers, report):
    _, complaints = report(target, numbers)
    assert complaints == ""


@pytest.mark.parametrize(("target", "numbers"), BUDGETED)
def test_instructions_and_size_stay_within_the_budget(target, numbers, report):
    lines, _ = report(target, numbers)
    instructions, flash_bytes = BUDGETS[numbers][target]
    assert int(value(lines, "instructions")) <= TOLERANCE * instructions
    assert network_bytes(lines) <= TOLERANCE * flash_bytes


@pytest.mark.parametrize("numbers", NUMBERS)
def test_a_microcontroller_holds_it(numbers, report):
    lines, _ = report("m4", numbers)
    assert network_bytes(lines) + int(value(lines, "arena_bytes")) < MEMORY_BYTES[numbers]


@pytest.mark.parametrize("numbers", NUMBERS)
def test_webassembly_gives_the_same_bits_with_and_without_simd(numbers, report):
    (with_simd, _), (without, _) = report("wasm", numbers), report("wasm-scalar", numbers)
    assert hashes(with_simd) == hashes(without)


@pytest.mark.parametrize("target", ["m4", "m55-mve", "aarch64-bare", "wasm"])
def test_the_maps_of_integers_are_those_of_the_reference_bit_for_bit(target, report, integers):
    golden = golden_of(read_model(MODEL))
    (heatmaps,), (visibility,) = integer_logits(integers, golden.image[None])
    lines, _ = report(target, "int8")
    assert value(lines, "maps_hash") == hash_of(heatmaps, visibility)


@pytest.mark.parametrize("target", ["m4", "wasm"])
def test_key_points_are_those_of_onnx_runtime(target, report):
    lines, _ = report(target, "float32")
    golden = golden_of(read_model(MODEL))
    shown = [words[1:] for words in lines if words[0] in ("left", "right")]
    expected = golden.keypoints[[bool(golden.found >> hand & 1) for hand in range(2)]].reshape(-1, 4)
    assert int(value(lines, "found")) == golden.found != 0
    np.testing.assert_allclose(np.array(shown, float), expected, atol=0.0051)  # two decimals are shown


def test_a_folder_without_a_network_is_refused(tmp_path):
    code, _, errors = make("host", tmp_path, tmp_path / "out")
    assert code != 0
    assert "expected a folder with the C of one network" in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["m4", "wasm"])
def test_a_network_that_sees_colour_finds_its_golden_hand(target, tmp_path):
    exported_for = exported_for_here(target)
    content = read_model("tofnet-rgb")
    write_c(content, "tofnet-rgb", exported_for, tmp_path / "net")
    code, output, complaints = make(target, tmp_path / "net", tmp_path / "out")
    assert code == 0, complaints
    lines = [line.split() for line in output.splitlines()]
    golden = golden_of(content)
    assert int(value(lines, "found")) == golden.found
    points_px = [list(map(float, words[1:3])) for words in lines if words[0] in ("left", "right")]
    hands = [hand for hand in range(2) if golden.found >> hand & 1]
    expected_px = golden.keypoints[hands, :, :2].reshape(-1, 2)
    np.testing.assert_allclose(points_px, expected_px, atol=0.02)
