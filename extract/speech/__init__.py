"""The inaSpeechSegmenter family: where a media file has speech, music, noise or no energy."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extract.speech.segmentation import segment_speech

__all__ = ["segment_speech"]


def __getattr__(name: str) -> Any:
    """`segment_speech`, once it is asked for: `python -m extract.speech.weights` is not to find itself loaded by it."""
    if name != "segment_speech":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from extract.speech.segmentation import segment_speech

    return segment_speech
