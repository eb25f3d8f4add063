"""The table of sources as Markdown, for the documentation; `python -m elbogap data table` prints it."""

from elbogap.data.sources import SOURCES, File, Source


def table() -> str:
    """One row per variant of each data set: files, how they are known, where they come from, faithfulness."""
    lines = ["| data set | variant: files | known by | served by | note |", "| --- | --- | --- | --- | --- |"]
    for source in SOURCES.values():
        for variant in source.variants:
            cells = (
                f"`{source.name}`",
                f"{variant.name}: " + ", ".join(f"`{file.name}`" for file in variant.files),
                ", ".join(dict.fromkeys(way for file in variant.files for way in _known_by(file))),
                ", ".join(variant.ways) or "cache or mirror folder",
                variant.note,
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def licences() -> str:
    """One row per data set: title, licence, citation."""
    rows = (
        f"| `{source.name}` | {_linked(source)} | {source.licence} | {source.citation} |"
        for source in SOURCES.values()
    )
    return "\n".join(["| name | data set | licence | citation |", "| --- | --- | --- | --- |", *rows])


def _known_by(file: File) -> list[str]:
    ways = [("sha256", file.sha256), ("git blob", file.git_blob)]
    return [name for name, digest in ways if digest] + ([file.content.reader] if file.content else [])


def _linked(source: Source) -> str:
    return f"[{source.title}]({source.page})"
