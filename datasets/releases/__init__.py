"""Releases: what lies where, how one is built, verified, compared and described."""
