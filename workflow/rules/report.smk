def claim_tables(wildcards):
    """The tables that the claims of all documents are checked against at a scale."""
    tables = tables_needed(ROOT / "paper" / "claims", wildcards.scale)
    return [f"results/{wildcards.scale}/{table}" for table in tables]
