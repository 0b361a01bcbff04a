import pytest

from handfast.bench.compiled import PEAK_FLAGS, PeakLoop, load_compiled
from handfast.errors import HandfastError


@pytest.mark.usefixtures("compiler")
def test_the_peak_loop_makes_the_multiply_adds_that_it_counts():
    loop = PeakLoop()
    rounds, chains, flops = loop.ROUNDS, 12, 2
    lanes = loop.flops / (rounds * chains * flops)
    assert lanes in (4, 8, 16)
    # Each chain goes from k / 1000 towards one, a thousandth of the way at each step.
    chain_ends = [1 - (1 - k / 1000) * 0.999**rounds for k in range(1, chains + 1)]
    assert loop() == pytest.approx(lanes * sum(chain_ends), rel=1e-4)


@pytest.mark.usefixtures("compiler")
def test_what_does_not_compile_says_why():
    with pytest.raises(HandfastError, match="error"):
        load_compiled("plain.c", (*PEAK_FLAGS, "-include", "no_such_file.h"))


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_says_so():
    with pytest.raises(HandfastError, match="no C compiler"):
        PeakLoop()
