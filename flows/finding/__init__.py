"""Clips of a release by what is said, heard or seen: reads releases only."""
