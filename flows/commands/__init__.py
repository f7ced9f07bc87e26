"""The commands, a file for each group of them; `flows.__main__` registers them."""
