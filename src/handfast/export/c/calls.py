"""Operations of a plan as calls of the kernels, like ones in a row as loops."""

from collections.abc import Sequence
from dataclasses import dataclass

from handfast.export.c.fusion import Conv, Plain, Stem, Step, UpsampleDepthwise
from handfast.export.c.network import Add, GlobalMax, MaxPool, Network
from handfast.export.c.plan import Plan
from handfast.export.c.schedule import Clear, Copy, Operation, Run

LONGEST_LOOP = 64  # calls


@dataclass(frozen=True)
class Call:
    """A line of C with a place, {}, for each number."""

    text: str
    numbers: tuple[int, ...]

    def line(self, step: tuple[int, ...] | None = None) -> str:
        """step: what to add to each number in every round of a loop over ``k``."""
        steps = step or (0,) * len(self.numbers)
        return self.text.format(
            *(f"{n} + {d} * k" if d else str(n) for n, d in zip(self.numbers, steps, strict=True))
        )


def call_of(operation: Operation, network: Network, steps: Sequence[Step], plan: Plan) -> Call:
    """The call that does an operation."""
    match operation:
        case Copy(source, target):
            a, b = plan.place(source), plan.place(target)
            area = plan.areas[source.area]
            text = "copy_rows(arena + {}, {}, arena + {}, {}, {}, {});"
            return Call(
                text, (a.offset, a.plane, b.offset, b.plane, area.channels, source.count * area.width)
            )
        case Clear(rows):
            place, area = plan.place(rows), plan.areas[rows.area]
            text = "zero_rows(arena + {}, {}, {}, {});"
            return Call(text, (place.offset, place.plane, area.channels, rows.count * area.width))
        case Run(index=index):
            return _run(operation, steps[index], network, plan)


def _run(run: Run, step: Step, network: Network, plan: Plan) -> Call:
    target = plan.place(run.target)
    match step:
        case Stem():
            _, height, _ = network.shapes[step.source]
            text = f"stem(image, {{}}, {{}}, {{}}, {{}}, weights_{run.index}, arena + {{}}, {{}});"
            filters = len(step.convolution.weight)
            return Call(text, (height, run.map_row, run.target.count, filters, target.offset, target.plane))
        case Conv():
            return _convolution(run, step, network, plan)
        case UpsampleDepthwise():
            channels = network.shapes[step.source][0]
            source = plan.place(run.source)
            return Call(
                upsampling(step, network, f"weights_{run.index}", "arena + {}", "{}", "{}", "arena + {}, {}"),
                (source.offset, source.plane, channels, target.offset, target.plane),
            )
        case Plain(layer):
            return _plain(run, layer, network, plan)


def _convolution(run: Run, step: Conv, network: Network, plan: Plan) -> Call:
    width = network.shapes[step.source][2]
    source, target = plan.place(run.source), plan.place(run.target)
    residual = [plan.place(run.residual).offset] if run.residual else []
    maps = f"&layer_{run.index}, arena + {{}}, arena + {{}}, {'arena + {}' if residual else '0'}"
    numbers = source.offset, target.offset, *residual
    if step.block.filters_on_lanes:
        return Call(f"conv_pixel_{step.block.vectors}({maps});", numbers)
    text = f"conv{step.convolution.kernel}_{step.block.filters}({maps}, {{}});"
    return Call(text, (*numbers, run.target.count * width))


def upsampling(
    step: UpsampleDepthwise,
    network: Network,
    weights: str,
    source: str,
    plane: str,
    channels: str,
    target: str,
) -> str:
    """A call of upsample_depthwise."""
    _, height, width = network.shapes[step.source]
    return (
        f"upsample_depthwise({source}, {plane}, {width}, {height}, {channels}, left_{width}_1, "
        f"right_{width}_1, {weights}, {int(step.convolution.relu)}, {target});"
    )


def _plain(run: Run, layer: MaxPool | GlobalMax | Add, network: Network, plan: Plan) -> Call:
    source, target = plan.place(run.source), plan.place(run.target)
    match layer:
        case MaxPool():
            channels, _, width = network.shapes[layer.source]
            numbers = (
                source.offset, source.plane, width, run.target.count, channels, target.offset, target.plane,
            )  # fmt: skip
            return Call("max_pool(arena + {}, {}, {}, {}, {}, arena + {}, {});", numbers)
        case GlobalMax():
            channels, height, width = network.shapes[layer.source]
            numbers = (source.offset, source.plane, height * width, channels, target.offset, target.plane)
            return Call("global_max(arena + {}, {}, {}, {}, arena + {}, {});", numbers)
        case Add():
            channels, _, width = network.shapes[layer.target]
            other = plan.place(run.residual)
            numbers = (
                source.offset, source.plane, other.offset, other.plane, run.target.count * width, channels,
                int(layer.relu), target.offset, target.plane,
            )  # fmt: skip
            return Call("add_maps(arena + {}, {}, arena + {}, {}, {}, {}, {}, arena + {}, {});", numbers)


def as_lines(calls: Sequence[Call], indent: str = "    ") -> str:
    """Calls as C; where some of them come again and again with numbers that grow evenly, a loop."""
    lines = []
    i = 0
    while i < len(calls):
        period, rounds = _loop_at(calls, i)
        if rounds > 1:
            steps = [_difference(calls[i + j], calls[i + period + j]) for j in range(period)]
            lines.append(f"{indent}for (int k = 0; k < {rounds}; k++) {{\n")
            lines += [
                f"{indent}    {call.line(step)}\n"
                for call, step in zip(calls[i : i + period], steps, strict=True)
            ]
            lines.append(f"{indent}}}\n")
        else:
            lines.append(f"{indent}{calls[i].line()}\n")
        i += period * rounds
    return "".join(lines)


def _loop_at(calls: Sequence[Call], start: int) -> tuple[int, int]:
    """-> (calls of a round, rounds) of the loop from ``start`` on that saves most lines; or (1, 1)."""
    best = (1, 1)
    for period in range(1, min(LONGEST_LOOP, (len(calls) - start) // 2) + 1):
        rounds = 1
        while start + (rounds + 1) * period <= len(calls) and all(
            _goes_on(calls, start + j, period, rounds) for j in range(period)
        ):
            rounds += 1
        if rounds > 1 and period * (rounds - 1) > best[0] * (best[1] - 1):
            best = (period, rounds)
    return best


def _goes_on(calls: Sequence[Call], at: int, period: int, rounds: int) -> bool:
    """Whether a call comes once more, as far from the one before as the first two are from one another."""
    last, following = calls[at + (rounds - 1) * period], calls[at + rounds * period]
    if last.text != following.text:
        return False
    return rounds == 1 or _difference(last, following) == _difference(calls[at], calls[at + period])


def _difference(call: Call, following: Call) -> tuple[int, ...]:
    return tuple(b - a for a, b in zip(call.numbers, following.numbers, strict=True))
