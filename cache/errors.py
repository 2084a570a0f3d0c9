"""The one error type for mistakes in the user's input."""

AGAIN = "run the extract-poses (or import-poses) command again to repair it"


class KeyReIDError(Exception):
    """A mistake in the input: a file, a config key, a command-line value.

    The message is one line: which file, key or option, its value, what was expected, and what to do.
    The command line prints it without a traceback and exits with code 2.
    """
