"""One pass over a clip gives its 1 fps frames, its 24 fps frames and its waveform.

The grid in one sentence: frames and samples are those that `ffmpeg -ss START -t DURATION -i MEDIA` hands to the
reference extractor's filters, whatever the media (the picture is turned as it is displayed, then scaled; pixel aspect
is ignored). Frames equal the reference's byte for byte on CPU; where they differ from it is in docs/media.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets.media.container import nvdec_lacks, open_media
from datasets.media.tracks import choose_picture, choose_sound, is_counted, moving_pictures
from datasets.outcomes import MediaError
from features.frames.cropping import crop_of
from features.frames.decoded import DecodedClip, join_pieces
from features.frames.demuxer import Demuxer
from features.frames.pictures import Pictures
from features.frames.sound import Sound
from features.frames.times import ClipTimes


def decode_clip(
    path: str | Path, start_ms: int | None = None, end_ms: int | None = None, audio_track: int | None = None
) -> DecodedClip:
    """Decode the clip [start_ms, end_ms) of a media file once, by a seek; all of it when no range is given.

    Args:
        path: a local file.
        start_ms: milliseconds from the start of the media.
        end_ms: milliseconds from the start of the media, after `start_ms`.
        audio_track: index of the stream that is heard; chosen by the rule of all readers when not given.

    Raises:
        MediaError: with reason media_missing, no_video, decode_failed (also when the file breaks off early) or
            clip_past_end.
        ValueError: an empty or negative range.
    """
    return join_pieces(list(decode_pieces(path, start_ms, end_ms, audio_track=audio_track)))


def decode_pieces(
    path: str | Path,
    start_ms: int | None = None,
    end_ms: int | None = None,
    frames_per_piece: int | None = None,
    decoder: str = "cpu",
    audio_track: int | None = None,
) -> Iterator[DecodedClip]:
    """What `decode_clip` gives, in pieces, so that memory does not grow with the clip.

    Args:
        path: as for `decode_clip`, like `start_ms`, `end_ms` and `audio_track`.
        frames_per_piece: 24 fps frames of every piece but the last; one piece when not given.
        decoder: cpu, or nvdec for a GPU's own.

    Raises:
        MediaError: as `decode_clip`; a file that breaks off is noticed after the pieces before it.
        DeviceError: nvdec, and this GPU does not decode files like this one.
        ValueError: an empty or negative range.
    """
    if (start_ms or 0) < 0 or (end_ms is not None and end_ms <= (start_ms or 0)):
        raise ValueError(f"clip must be 0 <= start_ms < end_ms, got [{start_ms}, {end_ms})")
    with open_media(path, decoder) as container:
        times = ClipTimes.of(container, start_ms, end_ms)
        times.check_start()
        video, audio = pick_video(container), choose_sound(container, wanted=audio_track)
        if decoder == "nvdec" and not video.codec_context.is_hwaccel:
            raise nvdec_lacks(video.codec_context.name)
        pictures, sound = Pictures(video, times, crop_of(container, video.index)), Sound(audio, times)
        is_counted_sound = audio is not None and is_counted(audio)
        num_damaged = sound.push_counted(Path(path)) if is_counted_sound else 0
        streams = [video] if audio is None or is_counted_sound else [video, audio]
        demuxer = Demuxer(container, streams, times, video)
        for stream, frame in demuxer.frames():
            if pictures.push(frame) if stream is video else sound.push(frame):
                demuxer.close(stream)
            yield from _full_pieces(pictures, sound, frames_per_piece)
        pictures.finish()
        sound.finish()
        if decoder == "nvdec" and not pictures.num_frames:
            next(decode_pieces(path, start_ms, end_ms, 1))  # a MediaError where the CPU finds none, either
            raise nvdec_lacks(f"{video.codec_context.name} {video.codec_context.profile}, as {Path(path).name} is")
        times.check_end(has_frame=pictures.num_frames > 0)
        if not pictures.has_rows:
            raise MediaError("picture_missing", "no picture is on the screen during the clip")
        yield from _full_pieces(pictures, sound, frames_per_piece)
        num_damaged += pictures.num_damaged + demuxer.num_damaged
        missing_ms = pictures.missing_ms, 1000 * sound.waveform.missing_s
        note = sound.waveform.describe_channels()
        yield DecodedClip(*pictures.take(), sound.take(), pictures.num_frames, num_damaged, *missing_ms, note)


def pick_video(container: Any) -> Any:
    """The video stream that ffmpeg picks; raises MediaError "no_video" or "decode_failed"."""
    video = choose_picture(container)
    if video is None and moving_pictures(container):
        raise MediaError("decode_failed", "no decoder for the video stream")
    if video is None:
        raise MediaError("no_video", "the file has no video stream")
    video.codec_context.thread_count = 1
    return video


def _full_pieces(pictures: Pictures, sound: Sound, frames_per_piece: int | None) -> Iterator[DecodedClip]:
    """Pieces of which one knows that they are not the last."""
    while frames_per_piece is not None and pictures.num_waiting > frames_per_piece:
        yield DecodedClip(*pictures.take(frames_per_piece), sound.take())
