"""Makes chance a matter of a seed, for as long as a run lasts: jitter, tokens, keys. Time is the loop's affair."""

import contextlib
import random
import secrets
from collections.abc import Iterator
from unittest import mock


@contextlib.contextmanager
def chance_by(seed: int) -> Iterator[None]:
    """Within, the same seed gives the same random numbers and secrets."""
    kept, source = random.getstate(), random.Random(f"secrets {seed}")
    random.seed(seed)
    with (
        mock.patch.object(secrets, "token_hex", lambda count=32: source.randbytes(count).hex()),
        mock.patch.object(secrets, "token_bytes", source.randbytes),
    ):
        try:
            yield
        finally:
            random.setstate(kept)
