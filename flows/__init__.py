"""The order of work: configuration, Prefect flows, the command line and the report."""
