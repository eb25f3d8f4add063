"""The record of a data set: which real files, or which stand-in, a scale's results rest on.

A record has no machine path and no time in it, because its content decides what is rebuilt. It is enough to
load the data again: file names and digests, or the parameters of the stand-in. A record may come from
elsewhere: it repeats the table of sources, and that decides whether it is believed.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from elbogap import untrusted
from elbogap.checksums import sha256
from elbogap.data.fetch import Found, NotServed, Say, complain, ignore, local, obtain
from elbogap.data.sources import File, StandIn, source
from elbogap.errors import UserError

Policy = Literal["always", "if-unavailable", "never"]
Record = dict[str, Any]


def make(name: str, policy: Policy, state: str, *, say: Say = complain) -> Record:
    """The record of a data set under a policy for stand-ins.

    `always` looks nowhere and takes the synthetic stand-in; `if-unavailable` takes the best that can be made
    where nothing serves the real data; `never` makes that an error, NotServed.
    """
    *derived, synthetic = source(name).stand_ins
    if policy != "always":
        try:
            return _real(name, obtain(name, say=say), state)
        except NotServed as error:
            if policy == "never":
                raise
            say(f"{error}. A STAND-IN is used, and everything made from it is marked")
        for stand_in in derived:
            with suppress(NotServed):
                found = obtain(stand_in.donor, say=say)
                made = _real(stand_in.donor, found, state)
                return made | _stand_in(name, stand_in, policy, variant=found.variant.name)
    made = {"files": [], "licence": "none needed: synthetic", "citation": "", "state": state}
    return made | _stand_in(name, synthetic, policy)


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


def _stand_in(name: str, stand_in: StandIn, policy: Policy, **of_donor: str) -> Record:
    return {
        "dataset": name,
        "kind": "stand-in",
        "variant": stand_in.variant,
        "note": stand_in.note if stand_in.donor else f"STAND-IN, synthetic: {stand_in.note}",
        "stand_in": {**stand_in.parameters, **of_donor},
        "policy": policy,
    }


class _Record(BaseModel, extra="allow"):
    dataset: str
    kind: Literal["real", "stand-in"]
    variant: str
    files: list[dict[str, str]]
    state: str = ""
    policy: str = ""
    stand_in: dict[str, str | int] = {}

    def copies(self) -> list[tuple[File, str]]:
        """Its files in the table of sources, each with the copy's sha256; ValueError if it has others."""
        origin = source(self.dataset)
        expected: tuple[File, ...] = ()
        if self.kind == "real":
            expected = origin.variant(self.variant).files
        elif self.variant != "synthetic":
            donor = source(self.variant.removeprefix("derived from "))
            expected = donor.variant(str(self.stand_in.get("variant"))).files
        if [file.name for file in expected] != [copy.get("name") for copy in self.files]:
            raise ValueError(f"its files are not those of {self.dataset} in the table of sources")
        pairs = [(file, copy.get("sha256", "")) for file, copy in zip(expected, self.files, strict=True)]
        for file, digest in pairs:
            if file.sha256 != digest and not (file.git_blob or file.content):
                raise ValueError(f"{file.name}: sha256 {digest} is not that of the table of sources")
        return pairs


def read(path: Path) -> tuple[Record, list[tuple[File, str]]]:
    """The record in a file as it was written, and its files in the table of sources, each with its sha256.

    UserError if it is no readable record, or names other files or digests than the table of sources.
    """
    try:
        with path.open("rb") as file:
            record = _Record.model_validate_json(untrusted.read(file, 2**20))  # it has a few kB
        return record.model_dump(exclude_unset=True), record.copies()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".removeprefix(": ")
    except (UserError, ValueError, OSError) as error:
        reason = str(error)
    raise UserError(f"{path}: no readable data record ({reason}); rebuild it")


def record_state(path: Path, dataset: str) -> str:
    """Whether the record of a data set is to be made again: then another word than it was made under.

    That is `retry` if it says stand-in only because nothing served the real data, whose verified files are
    now in the cache or the mirror; and a word of its own if the record is damaged or not to be believed.
    Otherwise it is the stored state, or `settled`, and a rule with this parameter does not run again.
    """
    if not path.is_file():
        return "settled"
    try:
        record, _ = read(path)
    except UserError:
        record = {}
    if record.get("dataset") != dataset:
        return f"damaged-{path.stat().st_mtime_ns}"
    for_want = record["kind"] == "stand-in" and record.get("policy") == "if-unavailable"
    if for_want and local(dataset, say=ignore):
        return "retry"
    return record.get("state") or "settled"
