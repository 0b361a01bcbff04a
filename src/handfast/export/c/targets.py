"""The kinds of processors that networks are written for."""

from dataclasses import dataclass

from handfast.errors import HandfastError

# Where kernels fill the registers, gcc must not move loads ahead of what frees them, nor copy kernels for one
# layer.
AS_WRITTEN = " -fno-schedule-insns -fno-ipa-cp-clone"
BARE_ARM = " -mthumb -mfloat-abi=hard" + AS_WRITTEN
# gcc's vectors of what has none load the next channel of the last one, behind the arena, to leave it.
NO_VECTORS = " -fno-tree-vectorize"


@dataclass(frozen=True)
class Target:
    """A kind of processor.

    header: its vectors, of ``lanes`` floats. registers: how many of them there are; weight_registers: how
    many hold weights while these are multiplied; is_mask_vector: whether a mask of lanes takes one too.
    weights_a_load: how many are loaded at once. multiplies_aside: how many multiply-adds must be under way at
    once, beside loads, for none to wait; 0 where instructions are counted. flags: what the compiler needs to
    know, for the Makefile.
    """

    header: str
    lanes: int
    registers: int
    weight_registers: int
    weights_a_load: int
    is_mask_vector: bool
    multiplies_aside: int
    flags: str
    compiler: str = "cc"


TARGETS = {
    "generic": Target("vector_generic.h", 1, 16, 1, 1, False, 8, "-O3" + NO_VECTORS),
    "avx2": Target("vector_avx2.h", 8, 16, 1, 1, True, 8, "-O3 -mavx2 -mfma"),
    "avx512": Target("vector_avx512.h", 16, 32, 1, 1, False, 8, "-O3 -mavx512f -mavx512bw -mavx512vl -mfma"),
    "neon": Target("vector_neon.h", 4, 32, 2, 4, True, 0, "-O3" + AS_WRITTEN, "aarch64-linux-gnu-gcc"),
    "mve": Target(
        "vector_mve.h", 4, 8, 0, 1, True, 0, "-O3 -mcpu=cortex-m55" + BARE_ARM, "arm-none-eabi-gcc"
    ),
    "wasm": Target("vector_wasm.h", 4, 16, 1, 1, True, 0, "-O3 --target=wasm32 -msimd128 -nostdlib", "clang"),
    "cortex-m4": Target(
        "vector_generic.h", 1, 32, 1, 1, False, 0, "-O3 -mcpu=cortex-m4" + BARE_ARM, "arm-none-eabi-gcc"
    ),
}


def find_target(name: str) -> Target:
    """Raises HandfastError for a name that is not in TARGETS."""
    if name not in TARGETS:
        raise HandfastError(f"target {name!r}: expected {', '.join(TARGETS)}")
    return TARGETS[name]
