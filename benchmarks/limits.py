"""One wording for a measured figure beside the limit that was asked for."""

from pathlib import Path


def tell(what: str, figure: float, unit: str, at_most: float | None = None, at_least: float | None = None) -> bool:
    """Print a figure, its limit and their ratio; True if it holds."""
    limit, word = (at_most, "at most") if at_most is not None else (at_least, "at least")
    assert limit is not None, f"{what}: name a limit"
    holds = figure <= limit if at_most is not None else figure >= limit
    verdict = "holds" if holds else "FAILS"
    print(f"{what}: {figure:.4g} {unit}, asked {word} {limit:g}: ratio {figure / limit:.3f}, {verdict}", flush=True)
    return holds


def peak_gigabytes() -> float:
    """Highest resident memory of this process so far; `ru_maxrss` would begin with the peak of its parent."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e6
