"""The ground floor: what a table is, how it is read and written, splits, queries and releases. No media, no torch."""
