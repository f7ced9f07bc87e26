"""The order of work: configuration, Prefect flows, the command line and the report."""

from flows.environment import prepare_environment

prepare_environment()
