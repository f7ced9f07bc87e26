"""The segmenter's other network asked about the same audio; apart from the rest, because it loads torch."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from datasets.outcomes import MediaError
from extract.speech.segmentation import segment_speech
from extract.speech.settings import SpeechSettings
from flows.report.music import LABELS, Comparison, add_confusion, group_spans, spans_by_label


def compare_networks(
    videos: Iterable[tuple[Path, int | None, pd.DataFrame]], own: str, settings: SpeechSettings
) -> Comparison:
    """Run the network that did not make the tables on media files, and cross its labels with the tables'.

    Args:
        videos: media file, its sound track, and the video's segments as the tables hold them.
        own: network of the tables, "smn" or "sm".
        settings: how to run; its network is replaced.
    """
    other = "sm" if own == "smn" else "smn"
    settings = SpeechSettings.model_validate({**settings.model_dump(), "network": other})
    confusion = {(first, second): 0 for first in LABELS for second in LABELS}
    num_videos = num_unreadable = 0
    for path, audio_track, segments in videos:
        try:
            found = segment_speech(path, settings=settings, audio_track=audio_track)
        except MediaError:
            num_unreadable += 1
            continue
        num_videos += 1
        add_confusion(confusion, spans_by_label(segments), group_spans(found))
    return Comparison(own, other, num_videos, num_unreadable, confusion)
