"""The table of sources as Markdown, for the documentation; `python -m elbogap data table` prints it."""

from collections.abc import Iterable

from elbogap.data.sources import SOURCES


def table() -> str:
    """One row per variant of each data set: files, how they are known, where they come from, faithfulness."""
    rows = (
        (
            f"`{source.name}`",
            f"{variant.name}: " + ", ".join(f"`{file.name}`" for file in variant.files),
            ", ".join(dict.fromkeys(name for file in variant.files for name in file.digests)),
            ", ".join(variant.ways) or "cache or mirror folder",
            variant.note,
        )
        for source in SOURCES.values()
        for variant in source.variants
    )
    return _markdown(("data set", "variant: files", "known by", "served by", "note"), rows)


def licences() -> str:
    """One row per data set: title, licence, citation."""
    rows = (
        (f"`{source.name}`", f"[{source.title}]({source.page})", source.licence, source.citation)
        for source in SOURCES.values()
    )
    return _markdown(("name", "data set", "licence", "citation"), rows)


def _markdown(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))
