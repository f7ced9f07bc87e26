"""The card that lies beside a trained model: what it was made of and how, for whoever gets the weights."""

from collections.abc import Sequence
from pathlib import Path

from datasets.files import write_bytes
from model.history import Epoch
from model.settings import TrainSettings

CARD_FILE = "MODEL_CARD.md"


def tell_batch_statistics(settings: TrainSettings, num_processes: int, are_synchronised: bool) -> str:
    """One sentence on what batch norm normalised by."""
    if settings.recipe == "upstream":
        return "None are taken: the running statistics of the first weights are used, and stay as they are (eval mode)."
    share = settings.batch_size // num_processes
    over = min(settings.statistics_over or share, share)
    if are_synchronised:
        over *= num_processes
    return (
        f"Taken over {over:,} clips of each batch of {settings.batch_size:,}, as they were drawn; padding is "
        f"{'left out of' if settings.mask_padding else 'part of'} a clip's mean over time, and part of the statistics."
    )


def write_card(
    folder: Path, settings: TrainSettings, selected: int, epochs: Sequence[Epoch], num_clips: int, statistics: str
) -> None:
    """FOLDER/MODEL_CARD.md, whole or not at all.

    Args:
        folder: of the checkpoint.
        settings: of the training.
        selected: number of the epoch that was kept.
        epochs: all that were trained.
        num_clips: of split train.
        statistics: of `tell_batch_statistics`.
    """
    kept = epochs[selected]
    first = Path(settings.init_checkpoint).name if settings.init_checkpoint else f"random, seed {settings.seed}"
    by = "the best mean recall on the val clips" if kept.val_recall is not None else "the last one"
    recall = "" if kept.val_recall is None else f", mean recall on val {100 * kept.val_recall:.1f} %"
    lines = [
        "# AVLnet, trained here",
        "",
        f"- **Data**: {num_clips:,} train clips, features {settings.features}; trained_on.json has their recipes.",
        f"- **First weights**: {first}.",
        f"- **Kept**: epoch {selected} of {len(epochs)}, {by}; loss {kept.loss:.4f}{recall}.",
        f"- **Batch statistics**: {statistics}",
        "- **Settings**:",
        "",
        *(f"      {name} = {value!r}" for name, value in settings.recipe_fields().items()),
    ]
    write_bytes(folder / CARD_FILE, ("\n".join(lines) + "\n").encode())
