import json

import pytest

from handfast.data.cards import finished_card, read_card, read_shard
from handfast.errors import HandfastError


def test_the_card_says_what_there_is(tof_folder, tiny_tof):
    card = read_card(tof_folder)
    assert (card.benchmark, card.size, card.seed, card.made_by) == ("bench-tof", "small", 1, "1.2.3")
    assert {split: card.frames(split) for split in card.splits} == {"train": 7, "validation": 4, "test": 5}
    assert card.layout("train") == {
        "shard-00000.tar": range(0, 3),
        "shard-00001.tar": range(3, 6),
        "shard-00002.tar": range(6, 7),
    }
    assert card.description == tiny_tof.description
    people = [set(split.people) for split in card.splits.values()]
    assert [len(p) for p in people] == [28, 4, 8] and len(set.union(*people)) == 40


def test_a_truncated_shard_is_named_and_refused(tof_copy):
    path = tof_copy / "train" / "shard-00001.tar"
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(HandfastError, match=r"train/shard-00001\.tar.*delete it.*handfast synth bench-tof"):
        finished_card(tof_copy, "train")
    assert finished_card(tof_copy, "test").benchmark == "bench-tof"


def test_an_edited_shard_is_named_and_refused(tof_copy):
    path = tof_copy / "train" / "shard-00001.tar"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    card = finished_card(tof_copy, "train")
    assert len(read_shard(tof_copy, card, "train", "shard-00000.tar")) > 1000
    with pytest.raises(HandfastError, match=r"train/shard-00001\.tar.*edited"):
        read_shard(tof_copy, card, "train", "shard-00001.tar")


def test_a_missing_shard_is_named(tof_copy):
    card = finished_card(tof_copy, "test")
    (tof_copy / "test" / "shard-00001.tar").unlink()
    with pytest.raises(HandfastError, match=r"test/shard-00001\.tar.*missing"):
        finished_card(tof_copy, "test")
    with pytest.raises(HandfastError, match=r"test/shard-00001\.tar"):
        read_shard(tof_copy, card, "test", "shard-00001.tar")


def test_an_unfinished_split_is_refused(tof_copy):
    path = tof_copy / "card.json"
    facts = json.loads(path.read_text())
    del facts["splits"]["train"]["shards"]["shard-00002.tar"]
    path.write_text(json.dumps(facts))
    with pytest.raises(HandfastError, match=r"3 shards of train, got 2, without shard-00002\.tar"):
        finished_card(tof_copy, "train")


def test_an_unknown_split_lists_the_known_ones(tof_folder):
    with pytest.raises(HandfastError, match="train, validation, test"):
        finished_card(tof_folder, "training")


def test_a_folder_without_a_card_says_how_to_make_one(tmp_path):
    with pytest.raises(HandfastError, match=r"card\.json: missing.*handfast synth"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"splits": 3}', '{"splits": {"train": {}}}', "\x00\xff"]
)
def test_a_broken_card_is_named(tmp_path, content):
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(HandfastError, match=r"card\.json: expected the card"):
        read_card(tmp_path)


def test_a_card_with_a_foreign_field_is_refused(tof_copy):
    path = tof_copy / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"licence": "none"}))
    with pytest.raises(HandfastError, match="licence"):
        read_card(tof_copy)
