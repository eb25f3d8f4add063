"""The replication report and the generated parts of the pages in docs."""
