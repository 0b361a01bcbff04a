import numpy as np
import pytest

from handfast.data.datasets import DATASETS
from handfast.data.datasets.check import KEPT_SAMPLES, READ_SAMPLES, check_folder, spread
from handfast.data.datasets.samples import DataSet, Samples
from handfast.errors import HandfastError
from handfast.structures import Frame, HandSample


def dataset(splits: dict[str, int | None], have: dict[str, int], broken: tuple[int, ...] = ()) -> DataSet:
    """Has so many samples in each split, some of them not to be read; a split it has not cannot be opened."""

    def open_split(folder, split):
        if split not in have:
            raise HandfastError(f"{split}.txt: missing")

        def read(index):
            if index in broken:
                raise HandfastError(f"{index}.png: cut off")
            return HandSample(Frame(index, 0.0, amplitude=np.zeros((2, 2), np.uint8)), ())

        return Samples(tuple(f"{i}.png" for i in range(have[split])), read)

    return DataSet("a set", "https://example.org", "CC0", splits, open_split)


@pytest.mark.parametrize(
    "count, wanted, expected",
    [
        (0, 5, []),
        (1, 5, [0]),
        (3, 5, [0, 1, 2]),
        (5, 5, [0, 1, 2, 3, 4]),
        (101, 3, [0, 50, 100]),
        (7, 1, [0]),
    ],
)
def test_spread(count, wanted, expected):
    assert spread(count, wanted) == expected


def test_a_complete_copy(tmp_path):
    report = check_folder(dataset({"train": 100, "test": None}, {"train": 100, "test": 3}), tmp_path)
    assert report.complete and report.usable
    assert [(s.samples, s.expected, s.read, s.problem) for s in report.splits] == [
        (100, 100, READ_SAMPLES, None),
        (3, None, 3, None),
    ]
    assert [key for split, key, _ in report.kept if split == "test"] == ["0.png", "1.png", "2.png"]
    trained = [sample.frame.index for split, _, sample in report.kept if split == "train"]
    assert len(trained) == KEPT_SAMPLES / 2 and (trained[0], trained[-1]) == (0, 99)


@pytest.mark.parametrize(
    "have, broken",
    [
        ({"train": 99, "test": 5}, ()),
        ({"train": 100}, ()),
        ({"train": 100, "test": 0}, ()),
        ({"train": 100, "test": 5}, (99,)),
    ],
)
def test_an_incomplete_copy_can_be_used(tmp_path, have, broken):
    report = check_folder(dataset({"train": 100, "test": None}, have, broken), tmp_path)
    assert report.usable and not report.complete


def test_what_is_wrong_is_told(tmp_path):
    report = check_folder(dataset({"train": 4, "test": 4}, {"train": 4}, broken=(0, 3)), tmp_path)
    train, test = report.splits
    assert train.unreadable == (("0.png", "0.png: cut off"), ("3.png", "3.png: cut off"))
    assert (train.read, train.complete, train.usable) == (4, False, True)
    assert (test.problem, test.samples, test.usable) == ("test.txt: missing", 0, False)
    assert [key for _, key, _ in report.kept] == ["1.png", "2.png"]


@pytest.mark.parametrize("have", [{}, {"train": 0}, {"train": 2}])
def test_nothing_readable_is_unusable(tmp_path, have):
    report = check_folder(dataset({"train": 2}, have, broken=(0, 1)), tmp_path)
    assert not report.usable and not report.complete and report.kept == ()


def test_kept_samples_come_from_all_splits_and_are_not_too_many(tmp_path):
    splits = {str(i): 50 for i in range(7)}
    report = check_folder(dataset(splits, splits), tmp_path)
    assert len(report.kept) <= KEPT_SAMPLES
    assert {split for split, _, _ in report.kept} >= {"0", "3", "5"}


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_unusable_and_every_split_says_why(tmp_path, name):
    report = check_folder(DATASETS[name], tmp_path)
    assert not report.usable
    assert all(str(tmp_path) in split.problem for split in report.splits)


def test_a_watcher_sees_what_is_read_as_it_is_read(tmp_path):
    seen = []

    def watch(split, indices):
        for index in indices:
            seen.append((split, index))
            yield index

    report = check_folder(dataset({"train": 4, "test": 2}, {"train": 4, "test": 2}), tmp_path, watch)
    assert report.complete
    assert seen == [("train", 0), ("train", 1), ("train", 2), ("train", 3), ("test", 0), ("test", 1)]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(HandfastError, match="nowhere: no such folder"):
        check_folder(dataset({"train": 2}, {}), tmp_path / "nowhere")
