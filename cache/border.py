"""The border to files: whatever goes wrong when one is read or written becomes one error that names it.

Code inside `with reading(path, ...)` takes a file apart as if it were sound, and code inside
`with saving(path)` writes as if the disk had room; neither has handlers of its own.
"""

import contextlib
import csv
import errno
import os
from collections.abc import Iterator
from json import JSONDecodeError
from pathlib import Path

from pydantic import ValidationError
from yaml import Mark, MarkedYAMLError, YAMLError

from cache.errors import KeyReIDError

# What keeps a file closed, whatever is in it, and the way in.
_CLOSED = {
    errno.EACCES: "get the right to read it",
    errno.EPERM: "get the right to read it",
    errno.EISDIR: "name a file, not a folder",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs: the system has no open file left",
}


@contextlib.contextmanager
def reading(
    path: object,
    expected: str = "",
    remedy: str = "",
    missing: str = "",
    error: type[Exception] = KeyReIDError,
) -> Iterator[None]:
    """An exception raised inside becomes one line: the file, what is wrong with it, and what to do.

    path: the file, or what names it when made a string. expected: what it should be, such as "a list of
    cameras". remedy: what to do; missing: what to do where there is no such file. error: the type that is
    raised; what is a KeyReIDError already goes through as it is.
    """
    try:
        yield
    except KeyReIDError:
        raise
    except Exception as cause:  # parsers of formats raise any type for content that they do not expect
        reason = problem(cause)
        if isinstance(path, Path) and isinstance(cause, OSError) and cause.filename:
            path = cause.filename  # a file in the folder that is read
        if isinstance(cause, FileNotFoundError):
            remedy = missing or remedy
        elif isinstance(cause, MemoryError):
            remedy = ""  # nothing is wrong with the file
        elif way_in(cause):
            remedy = way_in(cause)
        elif expected and not isinstance(cause, ValidationError) and not getattr(cause, "errno", None):
            reason = f"not {expected} ({reason})"  # of content; for that HDF5's OSError has no errno
        raise error(f"{path}: {reason}" + (f"; {remedy}" if remedy else "")) from cause


def way_in(error: Exception) -> str:
    """What to do about a file that cannot be opened; "" where something else is wrong with it."""
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":  # a name, where the locale is C
        return "choose a locale that has its name (LC_ALL=C.UTF-8)"
    return _CLOSED.get(getattr(error, "errno", None), "")


@contextlib.contextmanager
def saving(path: Path, size: int = 0) -> Iterator[None]:
    """An OSError raised inside becomes a KeyReIDError about `path` that says what to do.

    size: bytes to be written, for the message.
    """
    try:
        yield
    except OSError as error:
        raise KeyReIDError(explain(error, path, size)) from error


def problem(error: Exception) -> str:
    """An error's message for users, who do not know the code: a short line without control characters."""
    return spelled(" ".join(_said(error).split()))


def spelled(text: str) -> str:
    """Text on one line, what cannot be printed as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    match error:
        case FileNotFoundError():
            return "missing"
        case MemoryError():
            return "not enough memory to read it"
        case Exception(errno=int(), strerror=str(said)):  # the system's errors, and FFmpeg's
            return f"cannot be read: {said}"
        case ValidationError():
            first = error.errors()[0]
            return f"{'.'.join(map(str, first['loc']))[:200] or 'the whole file'}: {first['msg'][:300]}"
        case UnicodeDecodeError():
            line = error.object.count(b"\n", 0, error.start) + 1
            return f"line {line}: not UTF-8 text"
        case MarkedYAMLError(problem_mark=Mark() as mark):
            return f"line {mark.line + 1}: not valid YAML: {error.problem}"
        case YAMLError():
            return f"not valid YAML: {text}"
        case JSONDecodeError():
            return f"line {error.lineno}: not valid JSON: {error.msg}"
        case csv.Error():
            return f"not valid CSV: {text}"
        case KeyError():
            return f"no {text} in it"
        case RecursionError():
            return "nested too deep, or holds itself"
        case ValueError() | OSError() if text:
            return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def explain(error: OSError, path: Path, size: int) -> str:
    """One line about a failed write: what, where, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        reason = os.strerror(error.errno)
        return (
            f"cannot write {path} ({size / 1e6:.1f} MB): {reason}; free some space or choose another folder, "
            "then run the same command again"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"cannot write to {path}: {os.strerror(error.errno)}; choose a folder that you may write to"
    if error.errno == errno.EISDIR:
        return f"cannot write {path}: there is a folder of that name; choose another name"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"cannot make the folder {path}: there is a file of that name; choose another folder"
    return f"cannot write {path}: {error.strerror or error}"
