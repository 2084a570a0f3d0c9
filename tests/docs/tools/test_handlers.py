"""The count of exception handlers that `make lint` runs."""

from docs.tools.handlers import count


def test_every_handler_and_every_suppressed_exception_counts():
    source = """
with contextlib.suppress(OSError), open(path) as file:
    try:
        read(file)
    except ValueError:
        raise
    except (KeyError, TypeError):
        pass
    finally:
        close()
"""
    assert count(source) == 3
    assert count("with reading(path, 'a list'):\n    read(path)") == 0
