"""Which limits hold, of what the steps found."""

from typing import Any

MOST = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 5e-3, "fp32 by graphs": 1e-5}
"""Relative L2 from the golden features."""
MOST_SPEECH = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 3e-2}
"""Of class probabilities from the CPU's; rough ones need about three digits."""
LEAST_SHARE_OF_GEMM, LEAST_TIMES_OF_A_CORE, LEAST_END_TO_END = 0.6, 14, 0.9
"""Of the card's own bf16 GEMM rate; decoding on 16 cores; of the lower of what decoding and the networks allow."""
WINDOWS_PER_VIDEO_SECOND = {"resnet152": 1.0, "resnext101_3d": 1.5}


def judge(done: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Those of a step that gave no figures are left out."""
    found = {name: step["found"] for name, step in done.items()}
    held: dict[str, bool] = {}
    compared = [(name, errors, MOST) for name, errors in found.get("parity", {}).items()]
    for name, errors, most in [*compared, ("speech", found.get("speech", {}), MOST_SPEECH)]:
        held |= {
            f"{name} in {word}": errors[word] <= limit for word, limit in most.items() if is_figure(errors.get(word))
        }
    if "wrong" in found.get("flag_race", {}):
        held["no forward is another's"] = found["flag_race"]["wrong"] == 0
    gemm = found.get("ceilings", {}).get("gemm_bf16_tflops")
    fastest = {name: best(ways, "tflops", without="grouped") for name, ways in found.get("networks", {}).items()}
    held |= {
        f"{name}: share of GEMM": rate / gemm >= LEAST_SHARE_OF_GEMM for name, rate in fastest.items() if rate and gemm
    }
    rates = found.get("decoding", {})
    one, sixteen = (rates.get(f"cpu, {count} processes", {}).get("video_s_per_s") for count in (1, 16))
    if one and sixteen:
        held["decoding on 16 cores"] = sixteen / one >= LEAST_TIMES_OF_A_CORE
    as_is = {name: best(ways, "windows_per_s", only="as is") for name, ways in found.get("networks", {}).items()}
    if all(as_is.get(name) for name in WINDOWS_PER_VIDEO_SECOND) and "video_s_per_s" in found.get("end_to_end", {}):
        by_networks = 1 / sum(count / as_is[name] for name, count in WINDOWS_PER_VIDEO_SECOND.items())
        by_decoding = best(rates, "video_s_per_s", only="cpu")
        bound = min(by_networks, by_decoding or by_networks)
        held["end to end"] = found["end_to_end"]["video_s_per_s"] >= LEAST_END_TO_END * bound
    return held


def best(ways: dict[str, Any], figure: str, only: str = "", without: str = "nothing") -> float:
    """The highest of a figure among ways whose name begins so; 0 without any."""
    chosen = [found for way, found in ways.items() if way.startswith(only) and not way.startswith(without)]
    return max((found[figure] for found in chosen if figure in found), default=0.0)


def is_figure(found: Any) -> bool:
    """Else a step has not come to it, or it failed."""
    return isinstance(found, float)
