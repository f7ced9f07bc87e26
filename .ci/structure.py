"""Print how the code is cut: files, lines, functions, private ones that are used once, imports between rooms."""

import ast
from collections import Counter
from pathlib import Path
from statistics import median

FOLDERS = ("flows", "extract", "features", "model", "datasets")


def read_trees() -> dict[Path, ast.Module]:
    """Every production file, parsed."""
    files = sorted(path for folder in FOLDERS for path in Path(folder).rglob("*.py"))
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}


def list_functions(trees: dict[Path, ast.Module]) -> tuple[list[int], list[tuple[int, str]]]:
    """Lines of every function; and (lines, where) of the private ones that their file names at most once."""
    lengths, single = [], []
    for path, tree in trees.items():
        named = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        uses = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))
        uses += Counter(n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute))
        lengths += [(n.end_lineno or n.lineno) - n.lineno + 1 for n in named]
        private = [n for n in named if n.name.startswith("_") and not n.name.startswith("__")]
        single += [
            ((n.end_lineno or n.lineno) - n.lineno + 1, f"{path}:{n.lineno} {n.name}")
            for n in private
            if uses[n.name] <= 1
        ]
    return lengths, single


def count_arrows(trees: dict[Path, ast.Module]) -> int:
    """Pairs of rooms, a folder each, of which one imports the other."""
    rooms = {path.parent.as_posix().replace("/", ".") for path in trees}
    arrows = set()
    for path, tree in trees.items():
        own = path.parent.as_posix().replace("/", ".")
        for node in ast.walk(tree):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            room = next((m for m in (module, (module or "").rpartition(".")[0]) if m in rooms), None)
            if room not in (None, own):
                arrows.add((own, room))
    return len(arrows)


def main() -> None:
    """Figures first, then the shortest private functions that are used once."""
    trees = read_trees()
    lengths, single = list_functions(trees)
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in trees}
    print(f"files {len(trees)}, lines {sum(lines.values()):,}, longest file {max(lines.values())}")
    print(f"files that lie flat in flows/: {len([p for p in trees if p.parent == Path('flows')])}")
    print(f"functions {len(lengths)}: median {median(lengths):g} lines, longest {max(lengths)}")
    print(f"private and used once: {len(single)}, {len(single) / len(lengths):.0%}")
    print(f"arrows between rooms: {count_arrows(trees)}")
    for length, where in sorted(single):
        print(f"  {length:3} {where}")


if __name__ == "__main__":
    main()
