"""The replication report and the generated parts of the README."""
