"""The inaSpeechSegmenter family: where a media file has speech, music, noise or no energy."""

from extract.speech.segmentation import segment_speech

__all__ = ["segment_speech"]
