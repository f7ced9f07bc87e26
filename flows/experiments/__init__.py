"""The paper's tables: what its rows need, what was measured here, and the paper's own figures beside it."""
