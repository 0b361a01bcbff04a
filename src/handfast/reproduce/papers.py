"""The papers whose tables can be reproduced; each is a file of this package."""

from handfast.errors import HandfastError
from handfast.reproduce import chidananda2019, fan2020, fan2020_pairs, pruned2019, yang2021
from handfast.reproduce.tables import Table

PAPERS = {
    "chidananda2019": chidananda2019.TABLES,
    "fan2020": fan2020.TABLES | fan2020_pairs.TABLES,
    "pruned2019": pruned2019.TABLES,
    "yang2021": yang2021.TABLES,
}
TABLES = {table.path: table for tables in PAPERS.values() for table in tables.values()}


def find_table(path: str) -> Table:
    """The table called PAPER/TABLE. Raises HandfastError if there is none."""
    if path not in TABLES:
        raise HandfastError(f"table {path!r}: expected one of {', '.join(TABLES)}")
    return TABLES[path]
