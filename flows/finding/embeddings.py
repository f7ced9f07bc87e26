"""Clips by a spoken description or by a picture: AVLnet's two branches against the video embeddings of a release."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.outcomes import RowError
from datasets.releases.layout import read_manifest, read_shards
from datasets.releases.shards import ReleaseError
from datasets.suggestions import did_you_mean
from datasets.wide import widen
from extract.sound import read_audio
from features.audio import log_mel
from features.captioned_images import read_image
from features.clip_features import load_encoder_2d
from features.settings import FeatureSettings
from flows.finding.clips import Clip, Found, best_of, read_clips
from flows.finding.index import Index
from model.avlnet import AVLNet
from model.checkpoints import check_video_dim, load_avlnet
from model.data import MAX_FRAMES, normalised, padded_length

MAX_SPEECH_MS = MAX_FRAMES * 10
"""Speech that the model hears; what is spoken after it is left out."""


def find_sound(release: str, sound: Path, checkpoint: Path, num_results: int) -> list[Found]:
    """The clips whose picture fits a spoken description best.

    Args:
        release: folder or URL.
        sound: any file with sound; its first 51.2 s are heard.
        checkpoint: of the AVLnet that was trained on these features.
        num_results: at most so many.

    Raises:
        ValueError: a checkpoint for other features, or a file without sound.
    """
    clips, model, gallery = embed_release(release, checkpoint)
    try:
        frames = log_mel(read_audio(sound, 0, MAX_SPEECH_MS))
    except RowError as error:
        raise ValueError(f"{sound} has no sound to search by: {error.detail}") from error
    num_frames = min(frames.shape[1], MAX_FRAMES)
    padded = np.zeros((1, len(frames), padded_length(num_frames)), np.float32)
    padded[0, :, :num_frames] = frames[:, :num_frames]
    with torch.inference_mode():
        query = model.embed_audio(torch.from_numpy(padded), torch.tensor([num_frames]))[0].numpy()
    return best_of(clips, Index.of(gallery).score(query), num_results)


def find_image(release: str, image: Path, checkpoint: Path, settings: FeatureSettings, num_results: int) -> list[Found]:
    """The clips whose picture is most like another picture.

    Args:
        release: folder or URL.
        image: a photograph.
        checkpoint: as for `find_sound`.
        settings: where the weights of the 2D encoder lie; it must be the release's own.
        num_results: at most so many.

    Raises:
        ValueError: an encoder other than the release's, or a file that is no image.
    """
    clips, model, gallery = embed_release(release, checkpoint)
    used = read_manifest(release)["families"]["features_2d"]["encoder"]
    encoder = load_encoder_2d(settings)
    if encoder.weights_sha256 != used["weights_sha256"]:
        told = f"{release} was made with {used['name']}, weights {used['weights_sha256'][:12]}"
        raise ValueError(f"{told}, not with {encoder.name}, {encoder.weights_sha256[:12]}: set features.encoder_2d")
    try:
        feature = np.asarray(encoder(read_image(image)[None]), np.float32)[0]
    except RowError as error:
        raise ValueError(f"{image} is no picture to search by: {error.detail}") from error
    # A photograph has no motion: of the 3D half nothing is known.
    video = np.zeros((1, model.video_dim), np.float32)
    video[0, : len(feature)] = feature / max(float(np.linalg.norm(feature)), 1e-12)
    with torch.inference_mode():
        query = model.embed_video(torch.from_numpy(video))[0].numpy()
    similarity = gallery @ query / np.maximum(np.linalg.norm(gallery, axis=1) * np.linalg.norm(query), 1e-12)
    return best_of(clips, similarity, num_results)


def find_like(release: str, clip_id: str, checkpoint: Path, num_results: int) -> list[Found]:
    """The clips whose pictures are most like those of a clip, by the index that a search page holds.

    Raises:
        ValueError: the release has no such clip.
    """
    clips, _, gallery = embed_release(release, checkpoint)
    ids = [clip.clip_id for clip in clips]
    if clip_id not in ids:
        raise ValueError(f"{release} has no clip {clip_id!r} with features{did_you_mean(clip_id, ids)}")
    return best_of(clips, Index.of(gallery).score_row(ids.index(clip_id)), num_results, least=-2.0)


def embed_release(release: str, checkpoint: Path) -> tuple[list[Clip], AVLNet, NDArray[np.float32]]:
    """(clips that have features, by clip_id; the model; their video embeddings [N, D])

    Raises:
        ValueError: no checkpoint, or one for other features than the release has.
    """
    if not checkpoint.is_file():
        raise ValueError(f"no checkpoint {checkpoint}: name the avlnet.pth that `python -m flows finetune` wrote")
    model = load_avlnet(checkpoint).eval()
    columns = read_manifest(release)["families"].get("pooled", {}).get("columns", {})
    names = [name for name in ("pooled_2d", "pooled_3d") if name in columns]
    if not names:
        raise ReleaseError(f"{release} has no pooled features to search in")
    rows = widen(read_shards(release, "pooled", columns=["clip_id", *names])).sort_by("clip_id")
    halves = [normalised(rows[name], name) for name in names if rows[name].null_count < len(rows)]
    if len(halves) == 2 and halves[0].shape[1] == model.video_dim:  # of a model that sees pictures alone
        halves = halves[:1]
    video = np.concatenate(halves, axis=1)
    check_video_dim(checkpoint, model, video.shape[1])
    by_id = {clip.clip_id: clip for clip in read_clips(release)}
    with torch.inference_mode():
        gallery = torch.cat([model.embed_video(part) for part in torch.split(torch.from_numpy(video), 1024)]).numpy()
    return [by_id[clip_id] for clip_id in rows["clip_id"].to_pylist()], model, gallery
