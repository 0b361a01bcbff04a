"""Loops are the calls that they stand for."""

import re

from hypothesis import given
from hypothesis import strategies as st

from handfast.export.c.calls import Call, as_lines


def carried_out(code):
    """The lines of C with their loops over ``k`` gone through, and numbers worked out."""
    done, loop, rounds = [], None, 0
    for line in code.splitlines():
        if head := re.fullmatch(r" *for \(int k = 0; k < (\d+); k\+\+\) \{", line):
            loop, rounds = [], int(head[1])
        elif line.strip() == "}":
            done += [_at(text, k) for k in range(rounds) for text in loop]
            loop = None
        elif loop is None:
            done.append(line.strip())
        else:
            loop.append(line.strip())
    assert loop is None
    return done


def _at(text, k):
    return re.sub(r"(-?\d+) \+ (-?\d+) \* k", lambda found: str(int(found[1]) + int(found[2]) * k), text)


texts = st.sampled_from(["f({}, {});", "g(arena + {}, {});"])
calls = st.builds(Call, texts, st.tuples(st.integers(-3, 3), st.integers(0, 2)))
runs = st.lists(
    st.tuples(st.lists(calls, min_size=1, max_size=3), st.integers(1, 5), st.integers(-2, 2)), max_size=4
)


@given(runs)
def test_what_is_carried_out_stays_the_same(runs):
    """Rounds of some calls, whose first numbers grow."""
    made = [
        Call(call.text, (call.numbers[0] + k * growth, call.numbers[1]))
        for body, rounds, growth in runs
        for k in range(rounds)
        for call in body
    ]
    assert carried_out(as_lines(made)) == [call.line() for call in made]


def test_rounds_that_grow_evenly_are_a_loop():
    made = [Call(text, (100 * k, 7)) for k in range(5) for text in ("f({}, {});", "g({}, {});")]
    assert as_lines(made).splitlines() == [
        "    for (int k = 0; k < 5; k++) {",
        "        f(0 + 100 * k, 7);",
        "        g(0 + 100 * k, 7);",
        "    }",
    ]


def test_what_grows_unevenly_stays_apart():
    made = [Call("f({});", (n,)) for n in (0, 1, 3, 4, 8)]
    code = as_lines(made)
    assert carried_out(code) == ["f(0);", "f(1);", "f(3);", "f(4);", "f(8);"]
    assert "k < 3" not in code


def test_no_calls_are_no_lines():
    assert as_lines([]) == ""
