"""Read one bomb and print the most memory that took, in MB; run by test_bombs in a process of its own."""

import resource
import sys
from pathlib import Path


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def read(kind: str, path: Path) -> None:
    """The parser that a file of this kind is given to."""
    if kind == "clip list":
        from extract.clip_lists import read_list

        read_list(path)
    elif kind == "checkpoint":
        from model.checkpoints import load_avlnet

        load_avlnet(path)
    elif kind == "legacy":
        from model.originals.clips import read_clips, tables_of_clips

        tables_of_clips(read_clips(path), "train")
    elif kind == "image":
        from features.captioned_images import read_image

        read_image(path)
    elif kind == "release":
        from datasets.releases.verify import verify_release

        raise ValueError(verify_release(path)[0])


if __name__ == "__main__":
    import model.originals.clips  # noqa: F401

    before = peak_mb()
    try:
        read(sys.argv[1], Path(sys.argv[2]))
        outcome = "was read"
    except Exception as error:  # noqa: BLE001 - printed by type, which the test asserts: a bomb must be refused by name
        outcome = f"{type(error).__name__}: {error}"
    print(peak_mb() - before, outcome)
