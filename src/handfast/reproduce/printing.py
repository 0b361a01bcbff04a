"""A table as measured, beside the paper's own: on the terminal, and as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from handfast.reproduce.tables import (
    Result,
    Summary,
    Table,
    Verdict,
    data_of,
    judge,
    results_alike,
    score_of,
    summarise,
)

LEAST_WIDTH = 150
# What a table may show of a summary: heading, and a number as it is printed.
_COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "error_px": ("px", lambda error_px: f"{error_px:.3f}"),
    "error_mm": ("mm", lambda error_mm: f"{error_mm:.3f}"),
    "auc": ("AUC", lambda auc: f"{auc:.3f}"),
    "auc_0_50": ("AUC", lambda auc: f"{auc:.3f}"),
    "pck20": ("PCK20", lambda share: f"{share:.3f}"),
    "auc_third_person": ("AUC third", lambda auc: f"{auc:.3f}"),
    "auc_first_person": ("AUC first", lambda auc: f"{auc:.3f}"),
    "gflops": ("GFLOP", lambda gflops: f"{gflops:.3f}"),
    "p_fine": ("fine", lambda share: f"{100 * share:.1f} %"),
    "motion_mm": ("moved mm", lambda motion_mm: f"{motion_mm:.2f}"),
    "hidden_share": ("hidden", lambda share: f"{100 * share:.0f} %"),
    "frames": ("frames", lambda frames: f"{frames:,.0f}"),
    "loops": ("loops", lambda loops: f"{loops:.2f}"),
    "ms": ("ms", lambda time_ms: f"{time_ms:.2f}"),
    "gmacs": ("GMAC", lambda gmacs: f"{gmacs:.2f}"),
    "fps": ("frames/s", lambda fps: f"{fps:.1f}"),
    "parameters": ("parameters", lambda parameters: f"{parameters / 1e6:.3f} M"),
    "flops": ("GFLOP", lambda flops: f"{flops / 1e9:.3f}"),
    "error_percent_of_hand": ("% hand", lambda percent: f"{percent:.1f}"),
    "wrong_side_rate": ("wrong side", lambda rate: f"{100 * rate:.1f} %"),
    "ghost_rate": ("ghosts", lambda rate: f"{100 * rate:.1f} %"),
    "surface_error_mm": ("2.5D mm", lambda error_mm: f"{error_mm:.1f}"),
}


def as_json(table: Table, scale: str, found: Mapping[str, list[Result]], rows: Sequence[str]) -> dict:
    """The rows measured so far, those that are not, and the claims that they bear out."""
    summaries = _summaries(table, found)
    return {
        "table": table.path,
        "scale": scale,
        "rows": [summaries[name].facts() for name in rows if name in summaries],
        "missing": [name for name in rows if name not in summaries],
        "claims": [asdict(verdict) for verdict in _verdicts(table, found)],
        "data": data_of(found),
    }


def print_table(table: Table, scale: str, found: Mapping[str, list[Result]], rows: Sequence[str]) -> None:
    """The same, to read."""
    summaries = _summaries(table, found)
    console = Console(highlight=False)
    console = Console(highlight=False, width=max(console.width, LEAST_WIDTH))  # else cells are cut off
    console.print(f"{table.path}, {scale}: {table.title}", soft_wrap=True)
    grid = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column("row", no_wrap=True)
    headings = [heading for what in table.compared for heading in ("paper", _COLUMNS[what][0])]
    for heading in (*headings, "±", "seeds", *(_COLUMNS[what][0] for what in table.also)):
        grid.add_column(heading, justify="right")
    std = f"{table.compared[0]}_std"
    for name in rows:
        facts = summaries[name].facts() if name in summaries else {}
        beside = [(numbers, what) for what in table.compared for numbers in (table.rows[name].paper, facts)]
        grid.add_row(
            name,
            *(_shown(numbers, what) for numbers, what in beside),
            "–" if facts.get(std) is None else f"{facts[std]:.3f}",
            str(facts.get("seeds", 0)),
            *(_shown(facts, what) for what in table.also),
        )
    console.print(grid)
    scores = [score_of(table.rows[name], result) for name, of_row in found.items() for result in of_row]
    engines = {score.engine for score in scores if hasattr(score, "engine")}
    notes = [table.note, f"Engine: {', '.join(sorted(engines))}." if engines else ""]
    if any(notes):
        console.print(" ".join(filter(None, notes)), soft_wrap=True)
    for verdict in _verdicts(table, found):
        console.print(f"{verdict.verdict}: {escape(verdict.claim)} ({escape(verdict.found)})", soft_wrap=True)
    if len(data := data_of(found)) > 1:
        for made_on in data:
            rows_on = ", ".join(f"{row} ({_of_seeds(seeds)})" for row, seeds in made_on["rows"].items())
            console.print(f"note: made on data {made_on['card_sha256'][:6]}: {rows_on}", soft_wrap=True)


def _of_seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _verdicts(table: Table, found: Mapping[str, list[Result]]) -> list[Verdict]:
    verdicts = []
    for claim in table.claims:
        alike = results_alike(claim, found)
        verdict = judge(claim, {name: summarise(table, name, of_row) for name, of_row in alike.items()})
        if len(data_of(alike)) > 1:
            verdict = replace(verdict, found=f"{verdict.found}; made on different data")
        verdicts.append(verdict)
    return verdicts


def _summaries(table: Table, found: Mapping[str, list[Result]]) -> dict[str, Summary]:
    return {name: summarise(table, name, of_row) for name, of_row in found.items()}


def _shown(numbers: Mapping[str, float | None], what: str) -> str:
    """A number, or a dash where there is none."""
    value = numbers.get(what)
    return "–" if value is None else _COLUMNS[what][1](value)
