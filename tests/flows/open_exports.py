"""Read exports with the libraries they are for: nothing of ours, and no warning of theirs is an error here.

python -P open_exports.py webdataset|lhotse FOLDER prints {split: {clip_id: what it holds, arrays hashed}}.
"""

import hashlib
import json
import sys
from pathlib import Path


def digest(array):
    return f"{array.dtype} {list(array.shape)} {hashlib.sha256(array.tobytes()).hexdigest()}"


def open_samples(folder):
    import webdataset

    for split in ("train", "val", "test"):
        shards = sorted(map(str, (folder / "data").glob(f"{split}-*.tar")))
        for sample in webdataset.WebDataset(shards, shardshuffle=False).decode():
            arrays = {name.removesuffix(".npy"): digest(a) for name, a in sample.items() if name.endswith(".npy")}
            yield split, sample["__key__"], {"facts": sample["json"], **arrays}


def open_cuts(folder):
    from lhotse import CutSet, validate

    for split in ("train", "val", "test"):
        for cut in CutSet.from_shar(in_dir=folder / "data" / split):
            validate(cut)
            names = [n for n in ("features_2d", "features_3d", "pooled_2d", "pooled_3d") if cut.has_custom(n)]
            found = {name: digest(cut.load_custom(name)) for name in names}
            found["log_mel"] = digest(cut.features.load())
            assert abs(len(cut.load_features()) - round(cut.duration * 100)) <= 1
            facts = {n: v for n, v in cut.custom.items() if isinstance(v, str | int | float | list)}
            text = [said.text for said in cut.supervisions]
            yield split, cut.id, {"facts": facts, "text": text, "duration": cut.duration, **found}


def main():
    form, folder = sys.argv[1], Path(sys.argv[2])
    found = {"train": {}, "val": {}, "test": {}}
    for split, clip_id, told in (open_samples if form == "webdataset" else open_cuts)(folder):
        found[split][clip_id] = told
    print(json.dumps(found))


if __name__ == "__main__":
    main()
