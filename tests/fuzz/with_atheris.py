"""The same targets by atheris, which goes after branches that no input has reached.

python -m tests.fuzz.with_atheris TARGET [-runs=100000] [-max_total_time=600]
"""

import sys

import atheris

with atheris.instrument_imports(include=["datasets", "extract", "flows", "model"]):
    from tests.fuzz.test_fuzz import ALL, make_test


def main() -> None:
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, make_test(ALL[name], 1).hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
