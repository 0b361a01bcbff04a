"""Results on disk, and what they come to."""

import json
from dataclasses import replace

import pytest

from handfast.errors import HandfastError
from handfast.reproduce.chidananda2019 import TABLE1, TABLE2
from handfast.reproduce.papers import find_table
from handfast.reproduce.tables import (
    Claim,
    chosen_rows,
    data_of,
    fullest_scale,
    judge,
    read_result,
    read_results,
    result_path,
    results_alike,
    summarise,
    write_result,
)


def summaries(results, table=TABLE1):
    found = read_results(results, table, "small")
    return {name: summarise(table, name, of_row) for name, of_row in found.items()}


def test_a_result_comes_back_as_it_was_written(tmp_path, make_result):
    path = result_path(tmp_path, "chidananda2019", "small", "all", 2)
    assert path == tmp_path / "chidananda2019" / "small" / "all-seed2.json"
    result = make_result("all", 2, 5.5)
    write_result(path, result)
    assert read_result(path, TABLE1) == result


def test_seeds_are_averaged_and_their_spread_is_that_of_a_sample(results):
    rows = summaries(results)
    assert list(rows) == ["none", "no-seg", "all"]  # in the order of the table
    none = rows["none"]
    assert (none.seeds, none.value, none.std) == (3, 6.1, 0.1)
    assert none.seconds == 61.0
    assert none.score["error_percent_of_hand"] == pytest.approx(12.2)
    assert none.score["error_by_keypoint_px"] == {"thumb_tip": 6.1, "index_tip": None}
    assert none.score["pck"][0] == pytest.approx((1 / 12 + 1 / 12.2 + 1 / 12.4) / 3, abs=1e-6)
    assert none.score["ghost_rate"] is None and none.score["frames"] == 10
    assert rows["all"].std == pytest.approx(0.1 / 2**0.5, abs=1e-6)
    assert rows["no-seg"].std is None


def test_a_summary_as_json_has_its_numbers_side_by_side(results):
    facts = json.loads(json.dumps(summaries(results)["all"].facts()))
    assert facts["row"] == "all" and facts["error_px"] == 5.45 and facts["seeds"] == 2
    assert facts["wrong_side_rate"] == 0.25 and facts["parameters"] == facts["flops"] == 1000
    assert facts["paper"]["error_px"] == 5.556
    assert "score" not in facts


def test_the_same_run_stands_in_two_tables(results):
    ours, all_losses = summaries(results, TABLE2)["ours"], summaries(results, TABLE1)["all"]
    assert replace(ours, row="all") == all_losses


def test_the_fullest_scale_is_what_there_is_most_of(results, tmp_path, make_result):
    assert fullest_scale(tmp_path / "nowhere", TABLE1) == "small"
    assert fullest_scale(results, TABLE1) == "small"
    for seed in range(7):
        path = result_path(results, "chidananda2019", "full", "all", seed)
        write_result(path, make_result("all", seed, 5.0, scale="full"))
    assert fullest_scale(results, TABLE1) == "full"
    assert fullest_scale(results, TABLE2) == "full"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"score": {}}', b'{"score": 3}', b"\xff"])
def test_a_file_that_is_no_result_is_named(results, content):
    path = results / "chidananda2019" / "small" / "all-seed1.json"
    path.write_bytes(content)
    with pytest.raises(HandfastError, match=r"all-seed1\.json: expected the result of a run.*delete it"):
        read_results(results, TABLE1, "small")


def test_no_results_say_where_and_what_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HandfastError) as raised:
        read_results(tmp_path / "nowhere", TABLE1, "full")
    assert f"seen from {tmp_path}" in str(raised.value)
    assert "`handfast reproduce chidananda2019/table1 --scale full`" in str(raised.value)


def test_seeds_of_another_recipe_are_not_averaged(results, make_result):
    path = result_path(results, "chidananda2019", "small", "none", 1)
    recipe = {"seed": 1, "epochs": 20.0, "losses": {"keypoints": 1.0}}
    write_result(path, make_result("none", 1, 6.0, recipe=recipe))
    with pytest.raises(HandfastError, match=r"none-seed1\.json: .* seed 0 in epochs"):
        read_results(results, TABLE1, "small")


def test_different_data_are_told(results, make_result):
    assert len(data_of(read_results(results, TABLE1, "small"))) == 1
    other = {"benchmark": "bench-tof", "size": "small", "seed": 1, "card_sha256": "def"}
    path = result_path(results, "chidananda2019", "small", "no-seg", 0)
    write_result(path, make_result("no-seg", 0, 5.5, data=other))
    first, second = data_of(read_results(results, TABLE1, "small"))
    assert first["rows"] == {"none": [0, 1, 2], "all": [0, 1]}
    assert second == other | {"rows": {"no-seg": [0]}}


def test_a_claim_is_judged_when_all_its_rows_are_there(results):
    rows = summaries(results)
    claim = Claim("it is so", ("all", "none"), lambda of: (of["all"].value < of["none"].value, "so"))
    assert (judge(claim, rows).verdict, judge(claim, rows).found) == ("holds", "so")
    assert judge(replace(claim, judge=lambda _: (False, "no")), rows).verdict == "fails"
    verdict = judge(replace(claim, needs=("all", "depth-all")), rows)
    assert (verdict.verdict, verdict.found) == ("not yet measured", "needs depth-all")


def test_a_claim_is_about_the_seeds_that_its_rows_share(results, make_result):
    found = read_results(results, TABLE1, "small")

    def values(*needs):
        alike = results_alike(Claim("", needs, lambda _: (True, "")), found)
        rows = {name: summarise(TABLE1, name, of_row) for name, of_row in alike.items()}
        return {name: (round(row.value, 3), row.seeds) for name, row in rows.items()}

    assert values("none", "all") == {"none": (6.05, 2), "all": (5.45, 2)}
    assert values("none", "all", "no-seg") == {"none": (6.0, 1), "all": (5.4, 1), "no-seg": (5.5, 1)}
    assert values("none", "depth-all") == {"none": (6.1, 3)}
    found["no-seg"] = [make_result("no-seg", 5, 5.5)]
    assert values("all", "no-seg") == {"all": (5.45, 2), "no-seg": (5.5, 1)}  # better than nothing


def test_seeds_can_be_chosen(results):
    found = read_results(results, TABLE1, "small", (1, 2))
    assert {name: [result.seed for result in of_row] for name, of_row in found.items()} == {
        "none": [1, 2],
        "all": [1],
    }
    with pytest.raises(HandfastError, match="no result of chidananda2019/table1"):
        read_results(results, TABLE1, "small", (7,))


def test_unknown_tables_and_rows_list_the_known_ones():
    with pytest.raises(HandfastError, match=r"'table1': .*chidananda2019/table1, chidananda2019/table2"):
        find_table("table1")
    with pytest.raises(HandfastError, match=r"'no-such': chidananda2019/table2 has densenet121, .*ours-best"):
        chosen_rows(TABLE2, ["ours", "no-such"])
    assert list(chosen_rows(TABLE2, ["ours", "mobilenetv2"])) == ["ours", "mobilenetv2"]
