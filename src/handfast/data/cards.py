"""A benchmark on disk: card.json, which names every shard with its checksum, and the shards it names.

    {folder}/card.json
    {folder}/train/shard-00000.tar ...
    {folder}/validation/shard-00000.tar ...
    {folder}/test/shard-00000.tar ...

The card is written anew for every shard that is finished. What it does not name is not there, and what
differs from its checksum is refused: a set is whole when its card is, and an interrupted one goes on from
what the card names.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from handfast.errors import HandfastError
from handfast.files import write_whole

CARD = "card.json"


@dataclass(frozen=True)
class ShardFile:
    """What a shard's file must be."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """A split: clip k shows person ``people[k % len(people)]``. shards: the finished ones, by file name."""

    people: tuple[int, ...]
    clips: int
    shards: dict[str, ShardFile]


@dataclass(frozen=True)
class Card:
    """What a benchmark on disk is, and how much of it there is so far.

    made_by: the version of handfast. description: what camera, sensor, poses, shapes and views are. Every
    clip has clip_frames frames; every shard but the last one of a split has shard_clips clips.
    """

    benchmark: str
    title: str
    size: str
    seed: int
    made_by: str
    description: dict[str, str]
    clip_frames: int
    shard_clips: int
    splits: dict[str, Split]

    def frames(self, split: str) -> int:
        """Frames of the whole split."""
        return self.splits[split].clips * self.clip_frames

    def layout(self, split: str) -> dict[str, range]:
        """The files of the whole split, and the clips in each."""
        clips, step = self.splits[split].clips, self.shard_clips
        firsts = range(0, clips, step)
        return {f"shard-{i:05d}.tar": range(k, min(k + step, clips)) for i, k in enumerate(firsts)}

    def with_shard(self, split: str, name: str, content: bytes) -> "Card":
        """The card once this shard is finished."""
        file = ShardFile(len(content), hashlib.sha256(content).hexdigest())
        shards = dict(sorted({**self.splits[split].shards, name: file}.items()))
        return replace(self, splits=self.splits | {split: replace(self.splits[split], shards=shards)})

    def command(self, folder: Path) -> str:
        """What makes or finishes the set."""
        return f"`handfast synth {self.benchmark} --size {self.size} --out {folder}`"


def read_card(folder: Path) -> Card:
    """The card of a set. Raises HandfastError when there is none or it cannot be read."""
    path = folder / CARD
    try:
        facts = json.loads(path.read_bytes())
        splits = {
            name: Split(
                tuple(split["people"]),
                split["clips"],
                {shard: ShardFile(**file) for shard, file in split["shards"].items()},
            )
            for name, split in facts.pop("splits").items()
        }
        return Card(**facts, splits=splits)
    except FileNotFoundError as error:
        raise HandfastError(
            f"{path}: missing; `handfast synth NAME --out DIR` makes a set of data in a new folder, where "
            "NAME is mix-tof, bench-tof, bench-tof-clips, bench-depth or bench-rgb"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HandfastError(
            f"{path}: expected the card of a set made by `handfast synth`, got {error!r}; delete it and make "
            "the set again"
        ) from error


def finished_card(folder: Path, split: str, benchmark: str | None = None) -> Card:
    """The card of a set of which a split is there, whole as far as the sizes of its files tell.

    benchmark: which one it must be, None for any. Raises HandfastError for another, an unknown or unfinished
    split, and a shard that is missing or cut off.
    """
    card = read_card(folder)
    if benchmark not in (card.benchmark, None):
        raise HandfastError(
            f"{folder}: expected {benchmark}, got {card.benchmark}; make it with `handfast synth {benchmark}`"
        )
    if split not in card.splits:
        raise HandfastError(f"split {split!r}: expected one of {', '.join(card.splits)}")
    finished = card.splits[split].shards
    if missing := card.layout(split).keys() - finished.keys():
        raise HandfastError(
            f"{folder}: expected {len(card.layout(split))} shards of {split}, got "
            f"{len(finished) or 'none'}, without {min(missing)}; finish the set with {card.command(folder)}"
        )
    for name, file in finished.items():
        path = folder / split / name
        if not path.is_file() or path.stat().st_size != file.bytes:
            raise _not_as_made(path, card, folder, "missing or cut off")
    return card


def read_shard(folder: Path, card: Card, split: str, name: str) -> bytes:
    """A shard's content. Raises HandfastError if it is not what the card says."""
    path = folder / split / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _not_as_made(path, card, folder, error.strerror) from error
    if hashlib.sha256(content).hexdigest() != card.splits[split].shards[name].sha256:
        raise _not_as_made(path, card, folder, "cut off or edited")
    return content


def write_shard(folder: Path, card: Card, split: str, name: str, content: bytes) -> Card:
    """Puts a shard in its place, then enters it in the card, whose new state is returned.

    Raises HandfastError when it cannot be written.
    """
    write_whole(folder / split / name, content)
    card = card.with_shard(split, name, content)
    write_card(folder, card)
    return card


def write_card(folder: Path, card: Card) -> None:
    """card.json. Raises HandfastError when it cannot be written."""
    write_whole(folder / CARD, (json.dumps(asdict(card), indent=1) + "\n").encode())


def _not_as_made(path: Path, card: Card, folder: Path, what: str) -> HandfastError:
    return HandfastError(
        f"{path}: not the shard that {CARD} names ({what}); delete it and make it again with "
        f"{card.command(folder)}"
    )
