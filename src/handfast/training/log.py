"""What a run leaves to read: metrics.jsonl, TensorBoard events where installed, and a line of progress."""

import json
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handfast.files import write_whole

LOG_FILE = "metrics.jsonl"
LINE_EVERY_S = 60.0


class RunLog:
    """Progress of a run from step ``start`` of ``steps``: a bar on a terminal, else a line a minute."""

    def __init__(self, run_dir: Path, start: int, steps: int) -> None:
        path = run_dir / LOG_FILE
        _forget_after(path, start)
        self._file = path.open("a", encoding="utf-8")
        self._tensorboard = _tensorboard_writer(run_dir, start)
        self._console = Console()
        self._bar = Progress(
            MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("train", total=steps, completed=start, note="")
        self._start, self._steps = start, steps
        self._start_s = self._last_line_s = time.monotonic()
        self._latest: dict[str, float] = {}

    def __enter__(self) -> "RunLog":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._file.close()
        if self._tensorboard:
            self._tensorboard.close()

    def advance(self, step: int) -> None:
        now_s = time.monotonic()
        steps_per_s = (step - self._start) / max(now_s - self._start_s, 1e-9)
        note = f"{steps_per_s:.2f} steps/s " + " ".join(f"{k} {v:.3g}" for k, v in self._latest.items())
        self._bar.update(self._task, completed=step, note=note)
        if not self._console.is_terminal and now_s - self._last_line_s > LINE_EVERY_S:
            self._console.print(f"step {step}/{self._steps} {note}", soft_wrap=True, highlight=False)
            self._last_line_s = now_s

    def scalars(self, group: str, step: int, values: dict[str, float]) -> None:
        """Log values by name, as ``group/name``."""
        self._latest |= values
        named = {f"{group}/{name}": value for name, value in values.items()}
        self._file.write(json.dumps({"step": step, "time_s": round(time.time(), 1)} | named) + "\n")
        self._file.flush()
        if self._tensorboard:
            for name, value in named.items():
                self._tensorboard.add_scalar(name, value, step)


def _forget_after(path: Path, step: int) -> None:
    """Drops what a run that was killed had logged since its last checkpoint: it goes through that again."""
    if path.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and json.loads(line)["step"] <= step]
        write_whole(path, b"".join(kept))


def _tensorboard_writer(run_dir: Path, start: int):
    """A SummaryWriter that forgets what came after step ``start``, or None without tensorboard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run_dir), purge_step=start + 1)
