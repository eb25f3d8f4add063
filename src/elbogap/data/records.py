"""The record of a data set: which real files, or which stand-in, a scale's results rest on.

A record has no machine path and no time in it, because its content decides what is rebuilt. It is enough to
load the data again: file names and digests, or the parameters of the stand-in.
"""

import contextlib
from typing import Any, Literal

from elbogap.checksums import sha256
from elbogap.data.definition import StandIn
from elbogap.data.fetch import Found, NotServed, Say, complain, obtain
from elbogap.data.registry import DEFINITIONS
from elbogap.data.sources import source

Policy = Literal["always", "if-unavailable", "never"]

Record = dict[str, Any]


def make(name: str, policy: Policy, state: str, *, say: Say = complain) -> Record:
    """The record of a data set under a policy for stand-ins.

    `always` looks nowhere and takes the synthetic stand-in; `if-unavailable` takes the best that can be made
    where nothing serves the real data; `never` makes that an error.

    Raises:
        NotServed: under `never`, nothing serves the data set; the message lists what was tried.
    """
    definition = DEFINITIONS[name]
    if policy != "always":
        try:
            return _real(name, obtain(name, say=say), state)
        except NotServed as error:
            if policy == "never":
                raise
            say(f"{error}. A STAND-IN is used, and everything made from it is marked")
        if definition.derived is not None:
            with contextlib.suppress(NotServed):
                found = obtain(definition.derived.donor, say=say)
                return _stand_in(name, definition.derived, policy, state, found)
    return _stand_in(name, definition.synthetic, policy, state)


def _real(name: str, found: Found, state: str) -> Record:
    return {
        "dataset": name,
        "kind": "real",
        "variant": found.variant.name,
        "files": [{"name": located.file.name, "sha256": sha256(located.path)} for located in found.files],
        "licence": source(name).licence,
        "citation": source(name).citation,
        "note": found.variant.note,
        "state": state,
    }


def _stand_in(
    name: str, stand_in: StandIn, policy: Policy, state: str, of_donor: Found | None = None
) -> Record:
    made: Record = {"files": [], "licence": "none needed: synthetic", "citation": "", "state": state}
    note, parameters = f"STAND-IN, synthetic: {stand_in.note}", stand_in.parameters
    if of_donor is not None:
        made = _real(stand_in.donor, of_donor, state)
        note, parameters = stand_in.note, {**parameters, "variant": of_donor.variant.name}
    return made | {
        "dataset": name,
        "kind": "stand-in",
        "variant": stand_in.variant,
        "note": note,
        "stand_in": parameters,
        "policy": policy,
    }
