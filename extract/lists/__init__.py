"""Clip lists as others publish them: their columns, their JSON, their pickles."""
