"""All seeded bugs."""

from tests.seeded_bugs.bugs import BUGS
from tests.seeded_bugs.found_by_killing import FOUND_BY_KILLING
from tests.seeded_bugs.of_announcing import OF_ANNOUNCING
from tests.seeded_bugs.of_events import OF_EVENTS
from tests.seeded_bugs.of_lateness import OF_LATENESS
from tests.seeded_bugs.of_moving import OF_MOVING
from tests.seeded_bugs.of_nats import OF_NATS
from tests.seeded_bugs.of_signing import OF_SIGNING

ALL = (*BUGS, *OF_ANNOUNCING, *OF_EVENTS, *OF_LATENESS, *OF_MOVING, *OF_NATS, *OF_SIGNING, *FOUND_BY_KILLING)
