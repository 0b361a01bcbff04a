"""MANO files: what is published can be read, and nothing of any file is ever run."""

import io
import pickle
import struct
import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csc_array, csc_matrix

from handfast.errors import HandfastError
from handfast.hand_model.mano import load_mano
from mano_fixtures import right_hand_joints_m

PARENTS = np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14])


class Ch:
    """As chumpy's arrays are pickled: their attributes, of which caches are left out."""

    def __init__(self, **terms):
        self.__dict__ = {"_dirty_vars": set(), "_itr": None, "_depends_on_deps": {}, **terms}


class Select(Ch):
    """Some entries of another array."""


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike, and names modules, as Python 2 did."""

    def save_string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch: ClassVar = pickle._Pickler.dispatch | {bytes: save_string, str: save_string}


def python2_pickle(value):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    written = file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    return written.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")


def random_hand():
    """What the published file has, but for the numbers: a vertex in sixteen lies about each joint."""
    rng = np.random.default_rng(0)
    of_joint = np.arange(778) % 16
    all_shapes = rng.standard_normal((778, 3, 12)) * 0.01
    kept = np.arange(all_shapes.size).reshape(all_shapes.shape)[..., :10]
    regressor = rng.random((16, 778)) * (of_joint == np.arange(16)[:, None])
    weights = rng.random((778, 16))
    plain = {
        "v_template": right_hand_joints_m()[of_joint] + rng.standard_normal((778, 3)) * 0.005,
        "posedirs": np.asfortranarray(rng.standard_normal((778, 3, 135)) * 0.001),
        "weights": weights / weights.sum(1, keepdims=True),
        "hands_mean": rng.standard_normal(45) * 0.2,
        "kintree_table": np.stack([PARENTS, np.arange(16)]).astype(np.uint32),
        "f": rng.integers(0, 778, (1538, 3)).astype(np.uint32),  # which is not needed
    }
    expected = plain | {
        "shapedirs": all_shapes[..., :10],
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
    }
    sparse = csc_matrix(expected["J_regressor"])
    published = plain | {
        "shapedirs": Select(a=Ch(x=all_shapes), idxs=kept.ravel(), preferred_shape=kept.shape),
        "J_regressor": sparse,
        "v_template": Ch(x=plain["v_template"]),
        "bs_style": "lbs",
        "J": expected["J_regressor"] @ plain["v_template"],
    }
    return published, expected


@pytest.fixture
def pickled(monkeypatch):
    """A function from what a file is to hold to its bytes, while there is something to call chumpy."""
    for name, member in {"chumpy": None, "chumpy.ch": Ch, "chumpy.reordering": Select}.items():
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        if member is not None:
            setattr(module, member.__name__, member)
            monkeypatch.setattr(member, "__module__", name)

    def pickled(value):
        try:
            return python2_pickle(value)
        finally:
            for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
                monkeypatch.delitem(sys.modules, name, raising=False)

    return pickled


@pytest.fixture
def changed_file(pickled, tmp_path):
    """A function that writes a MANO file, some of its entries replaced."""

    def changed_file(**changes):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(pickled(random_hand()[0] | changes))
        return path

    return changed_file


def assert_is_the_random_hand(asset):
    _, expected = random_hand()
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "hands_mean"):
        found = getattr(asset, name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[name].astype(np.float32), err_msg=name)
    np.testing.assert_array_equal(asset.parents, PARENTS)


def test_a_file_as_published_is_read_without_chumpy(changed_file):
    path = changed_file()
    assert path.read_bytes().startswith(b"\x80\x02") and b"cchumpy.reordering\nSelect\n" in path.read_bytes()
    asset = load_mano(path)
    assert "chumpy" not in sys.modules
    assert_is_the_random_hand(asset)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of matrices
@pytest.mark.parametrize("regressor", [csc_matrix, csc_array, np.asarray, np.asmatrix])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_file_saved_anew_by_python_3_is_read(tmp_path, protocol, regressor):
    _, arrays = random_hand()
    assert not arrays["posedirs"].flags.c_contiguous
    arrays["shapedirs"] = np.ascontiguousarray(arrays["shapedirs"].transpose(2, 0, 1)).transpose(1, 2, 0)
    arrays |= {"J_regressor": regressor(arrays["J_regressor"]), "bs_style": np.str_("lbs"), "left": {1}}
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol))
    assert_is_the_random_hand(load_mano(path))


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_in_an_npz_are_read(tmp_path, write):
    write(tmp_path / "MANO_RIGHT.npz", **random_hand()[1], bs_style="lbs")
    assert_is_the_random_hand(load_mano(tmp_path / "MANO_RIGHT.npz"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"J_regressor": csc_matrix((16, 778))}, r"saved anew .*Object arrays cannot be loaded"),
        ({"weights": np.full((778, 16), "a")}, "holds an array of '<U1', which is not an array; not loaded"),
        ({"weights": np.zeros((777, 16))}, "weights: expected"),
    ],
)
def test_an_npz_of_other_things_is_refused(tmp_path, changes, message):
    path = tmp_path / "MANO_RIGHT.npz"
    np.savez(path, **random_hand()[1] | changes)
    with pytest.raises(HandfastError, match=message):
        load_mano(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(HandfastError, match=r"MANO_RIGHT.pkl as published.*not whole"):
        load_mano(path)


def test_an_npz_without_one_of_the_arrays_is_refused(tmp_path):
    arrays = random_hand()[1]
    del arrays["hands_mean"]
    np.savez(tmp_path / "MANO_RIGHT.npz", **arrays)
    with pytest.raises(HandfastError, match=r"MANO_RIGHT.pkl as published.*hands_mean"):
        load_mano(tmp_path / "MANO_RIGHT.npz")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_left_hand_is_refused_along_whichever_axis_it_is_mirrored(tmp_path, axis):
    arrays, path = random_hand()[1], tmp_path / "MANO_LEFT.npz"
    mirror = np.where(np.arange(3) == axis, -1, 1)
    np.savez(path, **arrays | {"v_template": arrays["v_template"] * mirror})
    with pytest.raises(HandfastError, match=r"expected a right hand, got a left one; give MANO_RIGHT\.pkl"):
        load_mano(path)
    half_turn = -mirror
    np.savez(path, **arrays | {"v_template": arrays["v_template"] * half_turn})
    load_mano(path)


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_file_cut_short_is_refused(changed_file, share):
    path = changed_file()
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(HandfastError, match=r"MANO_RIGHT.pkl as published.*not whole"):
        load_mano(path)


@pytest.mark.parametrize("content", [b"not a pickle", pickle.dumps([1, 2], 2), pickle.dumps({"f": 1}, 2)])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other.pkl"
    path.write_bytes(content)
    with pytest.raises(HandfastError, match="not loaded"):
        load_mano(path)


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\x7f", b"p2147483647\n"])
def test_a_file_of_a_few_bytes_that_asks_for_gigabytes_is_refused(tmp_path, put):
    path = tmp_path / "huge.pkl"
    path.write_bytes(b"\x80\x02]" + put + b".")
    with pytest.raises(HandfastError, match=r"number 2147483647 in the memo of \d+ bytes\); not loaded"):
        load_mano(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(HandfastError, match="cannot be read"):
        load_mano(tmp_path / "none.pkl")


def calls(function_name, argument):
    """A pickle in which a function is called, by the three ways that the format has for it."""
    module, name = function_name.rsplit(".", 1)
    text = b"X" + struct.pack("<I", len(argument)) + argument.encode()
    return {
        "reduce": f"\x80\x02c{module}\n{name}\n".encode("latin1") + text + b"\x85R.",
        "inst": b"(" + text + f"i{module}\n{name}\n.".encode(),
        "obj": f"(c{module}\n{name}\n".encode() + text + b"o.",
    }


@pytest.mark.parametrize("way", ["reduce", "inst", "obj"])
@pytest.mark.parametrize(
    ("function_name", "argument"),
    [
        ("os.system", "touch {trace}"),
        ("posix.system", "touch {trace}"),
        ("__builtin__.eval", "open({trace!r}, 'w')"),
        ("builtins.exec", "open({trace!r}, 'w')"),
        ("numpy.save", "{trace}"),
        ("handfast.hand_model.mano.pickle.os.mkdir", "{trace}"),
    ],
)
def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path, function_name, argument, way):
    path, trace = tmp_path / "evil.pkl", tmp_path / "trace"
    path.write_bytes(calls(function_name, argument.format(trace=str(trace)))[way])
    with pytest.raises(HandfastError, match=f"holds {function_name}, which is not an array; not loaded"):
        load_mano(path)
    assert not trace.exists()


def test_the_malicious_files_would_run_if_they_were_unpickled(tmp_path):
    """Otherwise the test above would show nothing."""
    for way, content in calls("os.mkdir", str(tmp_path / "trace")).items():
        pickle.loads(content)
        (tmp_path / "trace").rmdir()
        assert way


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (self.trace, "w")


def test_code_in_a_file_that_is_otherwise_whole_runs_no_more(pickled, tmp_path):
    path, trace = tmp_path / "MANO_RIGHT.pkl", tmp_path / "trace"
    path.write_bytes(pickled(random_hand()[0] | {"J": Evil(str(trace))}))
    with pytest.raises(HandfastError, match=r"open, which is not an array; not loaded"):
        load_mano(path)
    assert not trace.exists()


def test_arrays_of_objects_are_refused(changed_file):
    objects = np.array([None] * (778 * 3), object).reshape(778, 3)
    with pytest.raises(HandfastError, match=r"holds an array of 'O8', which is not an array; not loaded"):
        load_mano(changed_file(v_template=objects))


def test_a_record_cannot_be_changed_for_the_next_file(changed_file, tmp_path):
    """State that is given to a class instead of an object stays without effect."""
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"\x80\x02cnumpy\ndtype\nN}X\x07\x00\x00\x00__new__Ns\x86b.")
    with pytest.raises(HandfastError, match="not loaded"):
        load_mano(path)
    load_mano(changed_file())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"v_template": np.zeros((777, 3))},
            r"v_template: expected \(778, 3\) finite numbers, got \(777, 3\)",
        ),
        ({"hands_mean": np.full(45, np.nan)}, "hands_mean: expected"),
        ({"hands_mean": np.full(45, 1e300)}, "hands_mean: expected .* got others"),
        ({"weights": np.zeros((777, 16))}, "weights: expected"),
        ({"weights": np.float64(3)}, "not an array"),
        ({"kintree_table": np.full((2, 16), 15)}, "kintree_table: expected each joint behind its parent"),
        ({"J_regressor": csc_matrix((16, 777))}, r"sparse matrix of \(16, 777\)"),
        ({"shapedirs": "none"}, "holds a str, which is not an array"),
        ({"shapedirs": Ch(y=np.zeros(3))}, "not an array"),
    ],
)
def test_what_cannot_be_a_hand_is_refused(changed_file, changes, message):
    with pytest.raises(HandfastError, match=message):
        load_mano(changed_file(**changes))


def test_a_sparse_matrix_that_reaches_beyond_itself_is_refused(changed_file):
    sparse = csc_matrix(random_hand()[1]["J_regressor"])
    sparse.indices[0] = 1_000_000
    with pytest.raises(HandfastError, match="not loaded"):
        load_mano(changed_file(J_regressor=sparse))
