"""Programs for the processors that QEMU emulates, which counts their instructions."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from handfast.export.c.targets import TARGETS

FIRMWARE = Path(__file__).parents[1] / "firmware"
# As in firmware/Makefile.
FLAGS = (
    "-std=c11 -O3 -ffp-contract=off -fno-schedule-insns -fno-ipa-cp-clone -nostdlib -ffreestanding -fbuiltin "
    "-fno-pie -ffunction-sections -fdata-sections -fno-tree-loop-distribute-patterns"
)
LINK_FLAGS = "-static -lgcc -Wl,--gc-sections -Wl,--build-id=none -Wl,--no-warn-rwx-segments"
QEMU_FLAGS = (
    "-nodefaults -display none -icount shift=0 -chardev stdio,id=text "
    "-semihosting-config enable=on,target=native,chardev=text -kernel"
)


@dataclass(frozen=True)
class Board:
    """What QEMU emulates for a target, and what of ``firmware/boards`` it takes."""

    flags: str
    source: str
    linked: str
    emulator: str


BOARDS = {
    "neon": Board("", "aarch64.c", "aarch64.ld", "qemu-system-aarch64 -M virt -cpu cortex-a53"),
    "mve": Board(
        "-mthumb -mfloat-abi=hard -mcpu=cortex-m55 -DSYSTICK_HZ=32000000",
        "cortex_m.c",
        "mps3.ld",
        "qemu-system-arm -M mps3-an547 -nic user",
    ),
    "cortex-m4": Board(
        "-mthumb -mfloat-abi=hard -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -DSYSTICK_HZ=25000000",
        "cortex_m.c",
        "mps2.ld",
        "qemu-system-arm -M mps2-an386 -nic user",
    ),
}


def run_on_board(target: str, texts: Mapping[str, str], main: str) -> str:
    """What a program shows. texts: {file name: C}; ``main`` is compiled, and may include the others."""
    board, boards = BOARDS[target], FIRMWARE / "boards"
    with TemporaryDirectory() as folder:
        for file, text in texts.items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        program = Path(folder) / "program.elf"
        sources = [Path(folder) / main, boards / board.source, FIRMWARE / "bare" / "memory.c"]
        includes = [f"-I{path}" for path in (folder, FIRMWARE, FIRMWARE / "bare")]
        command = [
            *(TARGETS[target].compiler, *board.flags.split(), *FLAGS.split(), "-DBARE", *includes),
            *(*sources, f"-L{boards}", f"-T{boards / board.linked}", *LINK_FLAGS.split(), "-o", program),
        ]
        subprocess.run(command, check=True)
        emulator = [*board.emulator.split(), *QEMU_FLAGS.split(), program]
        return subprocess.run(emulator, check=True, capture_output=True, text=True).stdout
