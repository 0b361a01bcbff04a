"""Compiled functions say what they would say in Python, wherever they may be kept."""

import numba.core.caching
import pytest

from handfast.jit import jit


def mean_of(values):
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


@pytest.mark.parametrize("can_be_kept", [True, False])
def test_a_function_is_compiled_where_it_can_be_kept_and_where_it_cannot(monkeypatch, tmp_path, can_be_kept):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    if not can_be_kept:
        monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    compiled = jit(error_model="numpy")(mean_of)
    assert compiled((1.0, 2.0, 6.0)) == 3.0 and compiled.signatures
    assert (compiled.stats.cache_path is not None) == can_be_kept
