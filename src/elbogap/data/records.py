"""The record of a data set: which real files, or which stand-in, a scale's results rest on.

A record has no machine path and no time in it, because its content decides what is rebuilt. It is enough to
load the data again: file names and digests, or the parameters of the stand-in.
"""

import contextlib
from typing import Any, Literal, get_args

from elbogap.checksums import sha256
from elbogap.data import stand_ins
from elbogap.data.fetch import Found, NotServed, Say, complain, obtain
from elbogap.data.sources import source
from elbogap.data.trust import DERIVED, SYNTHETIC

Policy = Literal["always", "if-unavailable", "never"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

Record = dict[str, Any]


def make(name: str, policy: Policy, state: str, *, say: Say = complain) -> Record:
    """The record of a data set under a policy for stand-ins.

    `always` looks nowhere and takes the stand-in; `if-unavailable` takes it where nothing serves the real
    data; `never` makes that an error.

    Raises:
        NotServed: under `never`, nothing serves the data set; the message lists what was tried.
    """
    if policy == "always":
        return _synthetic(name, policy, state)
    try:
        return _real(name, obtain(name, say=say), state)
    except NotServed as error:
        if policy == "never":
            raise
        say(f"{error}. A STAND-IN is used, and everything made from it is marked")
    donor = stand_ins.DONORS.get(name)
    if donor is not None:
        with contextlib.suppress(NotServed):
            return _derived(name, donor, obtain(donor.name, say=say), policy, state)
    return _synthetic(name, policy, state)


def _real(name: str, found: Found, state: str) -> Record:
    origin = source(name)
    return {
        "dataset": name,
        "kind": "real",
        "variant": found.variant.name,
        "files": _files(found),
        "licence": origin.licence,
        "citation": origin.citation,
        "note": found.variant.note,
        "state": state,
    }


def _synthetic(name: str, policy: Policy, state: str) -> Record:
    return {
        "dataset": name,
        "kind": "stand-in",
        "variant": SYNTHETIC,
        "files": [],
        "licence": "none needed: synthetic",
        "citation": "",
        "note": stand_ins.describe(name),
        "stand_in": stand_ins.PARAMETERS[name],
        "policy": policy,
        "state": state,
    }


def _derived(name: str, donor: stand_ins.Donor, found: Found, policy: Policy, state: str) -> Record:
    return _real(donor.name, found, state) | {
        "dataset": name,
        "kind": "stand-in",
        "variant": f"{DERIVED}{donor.name}",
        "note": donor.note,
        "stand_in": {**donor.parameters, "variant": found.variant.name},
        "policy": policy,
    }


def _files(found: Found) -> list[dict[str, str]]:
    pairs = zip(found.variant.files, found.files, strict=True)
    return [{"name": file.name, "sha256": sha256(located.path)} for file, located in pairs]
