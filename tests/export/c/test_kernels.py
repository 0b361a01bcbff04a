"""Each kernel is a file that a C compiler takes by itself."""

import shutil
import subprocess

import pytest

from handfast.export.c.emit import KERNELS

# Parts of the files that include them.
FRAGMENTS = {"sum_block.h", "rows_by_lane.h"}
PORTABLE = sorted(
    f"{folder}/{path.name}".removeprefix("/")
    for folder in ("", "int8")
    for path in (KERNELS / folder).iterdir()
    if path.name.endswith(".h")
    and path.name not in FRAGMENTS
    and (not path.name.startswith(("vector_", "bytes_")) or "generic" in path.name)
)


@pytest.mark.parametrize(("file", "channels"), [*((file, 1) for file in PORTABLE), ("stem.h", 3)])
def test_a_kernel_compiles_by_itself(tmp_path, file, channels):
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed")
    # As in every folder of C that is written.
    (tmp_path / "vector.h").write_text('#include "vector_generic.h"\n')
    (tmp_path / "bytes.h").write_text('#include "bytes_generic.h"\n')
    given = (
        ["-DFILTERS=4", "-DVECTORS=2"]
        if "_block" in file or "_pixel" in file
        else ["-DKERNEL=3", "-DFILTERS=4", "-DMOST=2", "-DSIZES=6"]
    )
    given += [f"-DSTEM_CHANNELS={channels}", "-DSTEM_WIDTH=160"]
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
    folders = [f"-I{folder}" for folder in (tmp_path, KERNELS, KERNELS / "int8")]
    program = tmp_path / "kernel.c"
    program.write_text(f'#include "{file}"\nint main(void) {{ return 0; }}\n')
    done = subprocess.run(
        ["cc", *strict, *given, *folders, "-c", program, "-o", tmp_path / "kernel.o"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:2000]
