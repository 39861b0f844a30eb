"""Plays one case again, and shows every effect: `python -m tests.simulation deleted:17:killed`, or `random:7`."""

import sys

import structlog

from tests.simulation.telling import parse_case, sentence


def main(text: str) -> int:
    """The exit status: 1 if a promise is broken."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        case = parse_case(text)
    except ValueError as problem:
        print(f"write HISTORY:EFFECT:FATE or random:SEED: {problem}", file=sys.stderr)
        return 2
    played = case.play()
    for effect in played.effects:
        print(f"{effect.number:5}  {effect.who:<16} {effect.what}")
    print(*played.met, sep="\n")
    print(sentence(case, played) if played.broken else f"{case}: every promise is kept")
    return 1 if played.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
