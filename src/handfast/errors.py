"""The one error that handfast raises on purpose."""


class HandfastError(Exception):
    """Wrong input from outside: says what was expected, what came and what to do.

    The command line prints the message without a traceback and exits with 2.
    """
