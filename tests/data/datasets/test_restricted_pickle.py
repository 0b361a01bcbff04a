import codecs
import os
import pickle

import numpy as np
import pytest

from handfast.data.datasets.restricted_pickle import load_pickle
from handfast.errors import HandfastError

PROTOCOLS = [2, 3, 4, 5]
LABELS = {
    0: {"xyz": np.arange(6, dtype=np.float32).reshape(2, 3), "K": np.eye(3)},
    "order": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    "scalar": np.float64(2.5),
    "names": ["palm", ("index", 3, None, True)],
    "bytes": b"\x00\xff",
    "set": {1, 2},
    "words": np.array(["left", "right"]),
}


def assert_same(got, want):
    assert type(got) is type(want)
    if isinstance(want, dict):
        assert got.keys() == want.keys()
        for key in want:
            assert_same(got[key], want[key])
    elif isinstance(want, np.ndarray):
        assert got.dtype == want.dtype and got.shape == want.shape and (got == want).all()
    else:
        assert got == want


@pytest.fixture
def path(tmp_path):
    return tmp_path / "anno.pickle"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_containers_come_back(path, protocol):
    path.write_bytes(pickle.dumps(LABELS, protocol))
    assert_same(load_pickle(path), LABELS)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_old_and_new_places_within_numpy_are_known(path, protocol, core):
    written = pickle.dumps(LABELS, protocol).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in written
    path.write_bytes(written.replace(b"numpy.core", core))
    assert_same(load_pickle(path), LABELS)


def test_strings_of_python_2_are_latin_1(path):
    # What Python 2.7 writes for {'objName': '\xe9'}: a str is SHORT_BINSTRING.
    path.write_bytes(b"\x80\x02}q\x00U\x07objNameq\x01U\x01\xe9q\x02s.")
    assert load_pickle(path) == {"objName": "é"}


class Malice:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_runs_a_command_is_refused_without_effect(path, tmp_path, protocol):
    proof = tmp_path / "proof"
    bad = {"xyz": np.zeros(3), "evil": Malice(os.system, f'echo > "{proof}"')}
    path.write_bytes(pickle.dumps(bad, protocol))
    with pytest.raises(HandfastError, match=r"anno\.pickle: refused: it asks for (posix|nt)\.system"):
        load_pickle(path)
    assert not proof.exists()
    pickle.loads(path.read_bytes())  # the pickle does what it was made for where nothing stops it
    assert proof.exists()


@pytest.mark.parametrize(
    ("call", "arguments", "named"),
    [
        (eval, ("1 + 1",), r"builtins\.eval"),
        (getattr, ("", "join"), r"builtins\.getattr"),
        (np.fromfile, ("secret",), r"numpy\.fromfile"),
        (np.load, ("secret",), r"numpy\.load"),
    ],
)
def test_what_is_refused_is_named(path, call, arguments, named):
    path.write_bytes(pickle.dumps(Malice(call, *arguments), 4))
    with pytest.raises(HandfastError, match=rf"anno\.pickle: refused: it asks for {named},"):
        load_pickle(path)


@pytest.mark.parametrize("encoding", ["rot13", "hex", "utf-8"])
def test_text_is_turned_into_bytes_in_the_one_way_that_pickles_need(path, encoding):
    path.write_bytes(pickle.dumps(Malice(codecs.encode, "secret", encoding), 2))
    with pytest.raises(HandfastError, match=rf"anno\.pickle: expected bytes as latin1, got '{encoding}'"):
        load_pickle(path)


@pytest.mark.parametrize("keep", [0, 1, 40, -5])
def test_a_cut_off_pickle_is_refused_by_name(path, keep):
    path.write_bytes(pickle.dumps(LABELS, 4)[:keep])
    with pytest.raises(HandfastError, match=r"anno\.pickle: not a readable pickle"):
        load_pickle(path)


def test_a_missing_pickle_is_named(path):
    with pytest.raises(HandfastError, match=r"anno\.pickle: missing"):
        load_pickle(path)
