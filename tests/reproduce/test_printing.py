"""A table beside the paper's, to read and as JSON."""

import json

import pytest

from handfast.reproduce.chidananda2019 import TABLE1, TABLE2
from handfast.reproduce.printing import as_json, print_table
from handfast.reproduce.tables import read_results, result_path, write_result


@pytest.fixture
def found(results):
    return read_results(results, TABLE1, "small")


def test_rows_missing_ones_and_claims_as_json(found):
    facts = json.loads(json.dumps(as_json(TABLE1, "small", found, list(TABLE1.rows))))
    assert [row["row"] for row in facts["rows"]] == ["none", "no-seg", "all"]
    assert {"error_px", "error_px_std", "seeds", "parameters", "flops"} <= facts["rows"][0].keys()
    assert facts["missing"] == [name for name in TABLE1.rows if name not in found]
    assert [claim["verdict"] for claim in facts["claims"]] == [
        "holds",
        "not yet measured",
        "not yet measured",
    ]


def test_some_rows_alone(found):
    facts = as_json(TABLE1, "small", found, ["all", "no-ds"])
    assert [row["row"] for row in facts["rows"]] == ["all"] and facts["missing"] == ["no-ds"]
    assert facts["claims"][0]["verdict"] == "holds"  # by rows that are not asked for


def test_the_table_to_read(found, capsys):
    print_table(TABLE1, "small", found, list(TABLE1.rows))
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert cells["none"][:4] == ["6.054", "6.100", "0.100", "3"]
    assert cells["no-seg"][:4] == ["5.690", "5.500", "–", "1"]
    assert cells["no-kphv"][:4] == ["–", "–", "–", "0"]
    # Of the two seeds that both have.
    assert "all 5.450 ± 0.071 px against none 6.050 ± 0.071 px: -9.9 %" in lines[-3]
    assert lines[-2].startswith("not yet measured: every loss helps (needs no-dhp, no-kphv,")
    assert max(map(len, lines[1:-3])) <= 80


def test_rows_of_different_data_are_told_with_their_seeds(results, found, make_result, capsys):
    other = {"benchmark": "bench-tof", "size": "small", "seed": 1, "card_sha256": "defdefdef"}
    write_result(
        result_path(results, "chidananda2019", "small", "all", 1), make_result("all", 1, 5.5, data=other)
    )
    found = read_results(results, TABLE1, "small")
    print_table(TABLE1, "small", found, list(TABLE1.rows))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "note: made on data defdef: all (seed 1)"
    assert lines[-2].endswith("none (seeds 0, 1, 2), no-seg (seed 0), all (seed 0)")
    claim, *_ = as_json(TABLE1, "small", found, [])["claims"]
    assert claim["found"].endswith("; made on different data")


def test_table2_has_costs(results, capsys):
    print_table(TABLE2, "small", read_results(results, TABLE2, "small"), ["ours", "mobilenetv2"])
    out = capsys.readouterr().out
    assert "0.041 M" in out and "0.035" in out and "1.209" in out
    assert "fails: ours is within 4.7 %" not in out and "at 2.5 % of its FLOPs" in out
