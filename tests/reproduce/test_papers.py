"""The results that this repository holds are those of the tables that it has."""

from pathlib import Path

from handfast.reproduce.papers import PAPERS, TABLES
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
