"""Which nats-server may stand between tenants: the one decision about its version. Pure; must not know a connection.

Older ones do not keep accounts and permissions apart in every case, by their own published advisories: deny rules that
queue subscriptions pass by (CVE-2026-58251), a restore under another stream's name (CVE-2026-33222), crashes before
anybody is authenticated (CVE-2026-29785, CVE-2026-33218).
"""

import re

OLDEST = (2, 14, 3)
OLDEST_OF_LINES = {(2, 12): (2, 12, 12)}
"""Lines of releases that are older and were mended as well."""
_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


def objection(version: str) -> str:
    """Why a server that greets with this version is not to be relied on, and the cure; empty if it is.

    A version that cannot be read is not vouched for by anybody. A pre-release comes before its release.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        return f"the NATS server does not say which version it is ({version[:32]!r}): {_cure()}"
    release = (int(found[1]), int(found[2]), int(found[3]))
    oldest = OLDEST_OF_LINES.get(release[:2], OLDEST)
    if release > oldest or (release == oldest and found[4] is None):
        return ""
    return f"the NATS server is version {version[:32]}, which has known holes between tenants: {_cure()}"


def _cure() -> str:
    lines = ", ".join(f"or {_text(oldest)} or newer of its line" for oldest in OLDEST_OF_LINES.values())
    return f"upgrade it to {_text(OLDEST)} or newer, {lines}"


def _text(release: tuple[int, int, int]) -> str:
    return ".".join(map(str, release))
