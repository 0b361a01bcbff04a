"""The results that this repository holds are those of the tables that it has."""

from pathlib import Path

import pytest

from handfast.reproduce.papers import PAPERS, TABLES
from handfast.reproduce.printing import print_table
from handfast.reproduce.tables import read_results, summarise

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_every_result_is_a_row_s_and_can_be_summarised():
    known = set()
    for table in TABLES.values():
        runs = {row.run for row in table.rows.values()}
        files = [
            path
            for path in (RESULTS / table.paper).rglob("*.json")
            if path.stem.rpartition("-seed")[0] in runs
        ]
        known |= set(files)
        for scale in {path.parent.name for path in files}:
            for name, of_row in read_results(RESULTS, table, scale).items():
                assert summarise(table, name, of_row).facts()[table.compared[0]] >= 0
    assert known == {path for paper in PAPERS for path in (RESULTS / paper).rglob("*-seed*.json")} != set()


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.path)
def test_every_table_can_be_printed_with_what_is_known_of_it(table, capsys):
    print_table(table, "small", read_results(RESULTS, table, "small"), list(table.rows))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{table.path}, small: {table.title}"
    assert [line.split()[0] for line in lines[2 : 2 + len(table.rows)]] == list(table.rows)
