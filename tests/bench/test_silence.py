import os
import subprocess
import sys

import pytest

from handfast.bench.silence import silence


def test_nothing_comes_through_from_here_or_from_a_child(capfd):
    print("before")
    with pytest.raises(ValueError, match="inside"), silence():
        print("python")
        os.write(2, b"C")
        subprocess.run([sys.executable, "-c", "print('child')"], check=True)
        raise ValueError("inside")
    print("after")
    assert capfd.readouterr() == ("before\nafter\n", "")
