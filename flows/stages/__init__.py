"""The stages, a file each: the flow or task first, what helps it below."""
