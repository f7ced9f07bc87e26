"""Exports of releases: the same clips in the layouts that other libraries read."""
