"""What a table of a paper is, its results on disk, and what they come to."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handfast.errors import HandfastError
from handfast.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALES = ("small", "full")  # the sizes of a benchmark


@dataclass(frozen=True)
class Row:
    """A row of a table: a run, what is trained for it, and the paper's own numbers.

    run: names the results, which rows of this and other tables may share. recipe: a packaged one. changes:
    values that differ from it, by name as in its file, tables within. seeds: those of a whole reproduction.
    paper: by name as in ``Summary``, empty for a row that the paper does not have. small: values that differ
    at scale small, None for half the epochs. needs: the rows whose trained networks the recipe starts from
    or learns from, by the value that names the checkpoint. part: which of a result's scores is the row's, ""
    where there is one alone.
    """

    run: str
    recipe: str
    paper: Mapping[str, float]
    changes: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    small: Mapping[str, Any] | None = None
    needs: Mapping[str, "Row"] = field(default_factory=dict)
    part: str = ""


@dataclass(frozen=True)
class Result:
    """One finished run, as its file holds it.

    recipe: all its values. data: the benchmark that it was trained and measured on, with the checksum of its
    card. score: a record of what was measured, or one of each part of the network, by name. parameters, macs,
    flops, weight_bytes: of the network as exported, without early-out. seconds: of training, interruptions
    left out. hardware: what it was trained on.
    """

    run: str
    scale: str
    seed: int
    recipe_hash: str
    recipe: dict
    data: dict
    score: Any
    parameters: int
    macs: int
    flops: int
    weight_bytes: int
    samples_seen: int
    seconds: float
    hardware: dict
    handfast: str
    torch: str


@dataclass(frozen=True)
class Summary:
    """The mean over a row's seeds.

    number: which of the score's numbers the table is about, such as error_px. value: that number. std: its
    sample standard deviation, None of a single seed.
    """

    row: str
    number: str
    value: float
    std: float | None
    seeds: int
    parameters: int
    macs: int
    flops: int
    weight_bytes: int
    samples_seen: int
    seconds: float
    score: dict
    paper: Mapping[str, float]

    def facts(self) -> dict:
        """As JSON: the numbers of the score stand beside the others, and before them where they have the same
        name."""
        facts = asdict(self)
        row, number, value, std, score = map(facts.pop, ("row", "number", "value", "std", "score"))
        return {"row": row, number: value, f"{number}_std": std} | facts | score

    def __str__(self) -> str:
        spread = "" if self.std is None else f" ± {self.std:.3f}"
        return f"{self.row} {self.value:.3f}{spread} {self.number.rpartition('_')[2]}"


def change(rows: Mapping[str, Summary], row: str, to: str) -> tuple[float, str]:
    """How much larger the error of a row is than that of another, as a share, and a phrase that says so."""
    share = rows[row].value / rows[to].value - 1
    return share, f"{rows[row]} against {rows[to]}: {100 * share:+.1f} %"


def changes(rows: Mapping[str, Summary], pairs: Sequence[tuple[str, str]]) -> tuple[list[float], str]:
    """``change`` of each row to another, and all phrases as one."""
    shares, phrases = zip(*(change(rows, row, to) for row, to in pairs), strict=True)
    return list(shares), "; ".join(phrases)


@dataclass(frozen=True)
class Claim:
    """What the paper, or we, say about a table. needs: the rows that it is about.

    judge: {row: summary} of these -> whether it holds, and the numbers behind that.
    """

    text: str
    needs: tuple[str, ...]
    judge: Callable[[Mapping[str, Summary]], tuple[bool, str]]


@dataclass(frozen=True)
class Verdict:
    """verdict: 'holds', 'fails' or 'not yet measured'. found: the numbers, or which rows are missing."""

    claim: str
    verdict: str
    found: str


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    compared: what of a ``Summary`` stands beside the paper's numbers, the first of them being what the table
    is about. also: what else of it is shown. read_score: from JSON, as the results have it. note: what a
    reader has to know of the numbers. timed: the network whose times alone the table is about, of which
    nothing is trained. draw: what makes its figure, None for a table without one.
    """

    paper: str
    name: str
    title: str
    benchmark: str
    rows: Mapping[str, Row]
    claims: tuple[Claim, ...]
    compared: tuple[str, ...]
    also: tuple[str, ...]
    read_score: Callable[[dict], Any]
    note: str = ""
    timed: str = ""
    draw: "Draw | None" = None

    @property
    def path(self) -> str:
        """As the command names it."""
        return f"{self.paper}/{self.name}"


# Puts the results of some of a table's rows into an empty figure.
Draw = Callable[["Figure", Table, Mapping[str, list[Result]]], None]


def chosen_rows(table: Table, names: Sequence[str]) -> dict[str, Row]:
    """The rows of these names. Raises HandfastError for one that the table does not have."""
    if unknown := [name for name in names if name not in table.rows]:
        raise HandfastError(f"row {unknown[0]!r}: {table.path} has {', '.join(table.rows)}")
    return {name: table.rows[name] for name in names}


def result_path(results: Path, paper: str, scale: str, run: str, seed: int) -> Path:
    """Where the result of a run belongs."""
    return results / paper / scale / f"{run}-seed{seed}.json"


def write_result(path: Path, result: Result) -> None:
    """Write the result of a run, whole or not at all. Raises HandfastError when it cannot be written."""
    write_whole(path, (json.dumps(asdict(result), indent=1) + "\n").encode())


def read_result(path: Path, table: Table) -> Result:
    """The result in a file, of a row of a table. Raises HandfastError if that is not one."""
    try:
        facts = json.loads(path.read_bytes())
        return Result(**facts | {"score": table.read_score(facts["score"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise HandfastError(
            f"{path}: expected the result of a run ({error}); delete it and make it again with "
            "`handfast reproduce`"
        ) from error


def read_results(
    results: Path, table: Table, scale: str, seeds: Sequence[int] = ()
) -> dict[str, list[Result]]:
    """The results on disk of each row that has any, by seed; of these seeds alone, unless none are named.

    Raises HandfastError if no row has any, for a file that is no result, and for seeds of one row with
    different recipes.
    """
    found = {}
    for name, row in table.rows.items():
        read = [read_result(path, table) for path in _files_of(results, table, scale, row)]
        read = [result for result in read if not seeds or result.seed in seeds]
        if of_row := [result for result in read if not row.part or row.part in result.score]:
            _check_alike(results, table, of_row)
            found[name] = sorted(of_row, key=lambda result: result.seed)
    if not found:
        raise HandfastError(
            f"{results / table.paper / scale}: no result of {table.path} as seen from {Path.cwd()}; name the "
            f"folder with --results, or make them with `handfast reproduce {table.path} --scale {scale}`"
        )
    return found


def fullest_scale(results: Path, table: Table) -> str:
    """The scale of which there are most results, the small one if in doubt."""

    def count(scale: str) -> int:
        return sum(len(_files_of(results, table, scale, row)) for row in table.rows.values())

    return max(SCALES, key=count)


def _files_of(results: Path, table: Table, scale: str, row: Row) -> list[Path]:
    """As result_path names them."""
    return sorted((results / table.paper / scale).glob(f"{row.run}-seed*.json"))


def _check_alike(results: Path, table: Table, of_row: list[Result]) -> None:
    first, *others = of_row
    for other in others:
        keys = (first.recipe.keys() | other.recipe.keys()) - {"seed"}
        if differing := sorted(key for key in keys if first.recipe.get(key) != other.recipe.get(key)):
            path = result_path(results, table.paper, other.scale, other.run, other.seed)
            raise HandfastError(
                f"{path}: its recipe differs from that of seed {first.seed} in {', '.join(differing)}; "
                "make the older one again"
            )


def score_of(row: Row, result: Result) -> Any:
    """The record of a result that a row is about."""
    return result.score[row.part] if row.part else result.score


def summarise(table: Table, name: str, of_row: list[Result]) -> Summary:
    """What the results of a row, at least one, come to."""
    row, number = table.rows[name], table.compared[0]
    scores = [asdict(score_of(row, result)) for result in of_row]
    values = [score[number] for score in scores]
    first = of_row[0]
    return Summary(
        row=name,
        number=number,
        value=_rounded(statistics.fmean(values)),
        std=_rounded(statistics.stdev(values)) if len(values) > 1 else None,
        seeds=len(of_row),
        parameters=first.parameters,
        macs=first.macs,
        flops=first.flops,
        weight_bytes=first.weight_bytes,
        samples_seen=first.samples_seen,
        seconds=_rounded(statistics.fmean(result.seconds for result in of_row)),
        score=_mean(scores),
        paper=row.paper,
    )


def results_alike(claim: "Claim", found: Mapping[str, list[Result]]) -> dict[str, list[Result]]:
    """The results that a claim is about, each row's of the seeds that all of them have: two seeds can be
    further apart than two rows."""
    needed = {name: found[name] for name in claim.needs if name in found}
    seeds = [{result.seed for result in of_row} for of_row in needed.values()]
    shared = set.intersection(*seeds) if seeds else set()
    return {
        name: [each for each in of_row if each.seed in shared] or of_row for name, of_row in needed.items()
    }


def data_of(found: Mapping[str, list[Result]]) -> list[dict]:
    """The different data that results were made on, each with the seeds of its rows: one, if they can be
    compared."""
    data: dict[str, dict] = {}
    for name, of_row in found.items():
        for result in of_row:
            made_on = data.setdefault(result.data["card_sha256"], result.data | {"rows": {}})
            made_on["rows"].setdefault(name, []).append(result.seed)
    return list(data.values())


def judge(claim: Claim, summaries: Mapping[str, Summary]) -> Verdict:
    """What the rows measured so far say about a claim."""
    if missing := [row for row in claim.needs if row not in summaries]:
        return Verdict(claim.text, "not yet measured", f"needs {', '.join(missing)}")
    holds, found = claim.judge({row: summaries[row] for row in claim.needs})
    return Verdict(claim.text, "holds" if holds else "fails", found)


def _mean(values: list) -> Any:
    """Of numbers, or of dicts or lists of them each by itself; None where any is None, and where they are
    words or lists of different lengths that are not all the same."""
    first = values[0]
    if all(value == first for value in values):
        return first
    if isinstance(first, dict):
        return {key: _mean([value[key] for value in values]) for key in first}
    if isinstance(first, list):
        same_length = len({len(value) for value in values}) == 1
        return [_mean(list(column)) for column in zip(*values, strict=True)] if same_length else None
    return None if None in values or isinstance(first, str) else _rounded(statistics.fmean(values))


def _rounded(value: float) -> float:
    return round(value, 6)
