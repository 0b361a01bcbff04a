"""One core for a process, whatever it opens and closes."""

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

# Opens networks and lets go of them, the first one first, then is interrupted.
INTERRUPTED = """
import gc, signal
from handfast.runtime.ace import load_ace
from handfast.runtime.dirnet import load_dirnet

models = [load_dirnet("dirnet", backend="openvino"), load_ace("ace", backend="openvino")]
while models:
    models.pop(0)
    gc.collect()
signal.signal(signal.SIGINT, lambda *_: print("heard"))
signal.raise_signal(signal.SIGINT)
"""


def test_ctrl_c_is_heard_after_networks_have_come_and_gone():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
