"""The one error that users are meant to read."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that the user can mend.

    The message is one line: it names the file, the row, key or wildcard, what was expected, what
    was found, and what to do.
    """


def suggestion(name: str, known: Iterable[str]) -> str:
    """Say which of the `known` names may have been meant."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}"
