"""Print name, version and licence of every package of a CycloneDX bill of materials: licences.py SBOM."""

import json
import sys
from pathlib import Path

for part in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["components"]:
    found = [
        one.get("expression") or one["license"].get("id") or one["license"]["name"] for one in part.get("licenses", [])
    ]
    print(part["name"], part["version"], "; ".join(found) or "says nothing", sep="\t")
