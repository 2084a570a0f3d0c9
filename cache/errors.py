"""The one error type for mistakes in what the user gave us."""

AGAIN = "run the extract-poses (or import-poses) command again to repair it"


class KeyReIDError(Exception):
    """A mistake in the input: a file, a config key, a command-line value.

    The message is one line that names the thing, its value, what was expected and the way out.
    The command line prints it without a traceback and exits with code 2.
    """
