"""Functions that numba compiles: once on a machine, where there is a place to remember them."""

from collections.abc import Callable

from numba import njit


def jit(error_model: str = "python", inline: str = "never") -> Callable[[Callable], Callable]:
    """Decorates a function of arrays and numbers; see numba's ``njit`` for the options."""

    def compiled(function: Callable) -> Callable:
        options = {"error_model": error_model, "inline": inline}
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # neither beside the package nor in the user's folders can anything be written
            return njit(**options)(function)

    return compiled
