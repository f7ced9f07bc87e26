"""Settings of training and evaluation; importing them loads no torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from datasets.settings import IN_RECIPE_WHEN_SET, OUTSIDE_RECIPE, Settings

AUDIO_WIDTHS = (128, 128, 256, 512, 1024)
"""Channels of the audio network's stem and four stages, as the original has them."""


class TrainSettings(Settings):
    """How AVLnet is trained; the defaults fine-tune as the original does."""

    recipe: Literal["upstream", "proper"] = "upstream"
    """upstream: eval mode (batch norm frozen, padding masked), as the original fine-tunes; proper: train mode."""
    epochs: int = Field(default=5, ge=1)
    """Passes over the train clips."""
    features: Literal["2d+3d", "2d"] = "2d+3d"
    """What the video head sees; 2d is the variant for images, for which the original's weights are no use."""
    batch_size: int = Field(default=256, ge=2)
    """Clips that are each other's negatives, over all processes."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Adam's, in the first epoch."""
    lr_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor on the learning rate after each epoch."""
    embedding_dim: int = Field(default=4096, ge=1)
    """Size of the embeddings of a model made from scratch."""
    widths: tuple[int, int, int, int, int] = AUDIO_WIDTHS
    """Channels of the audio network of a model made from scratch; the default is the original's."""
    mask_padding: bool = True
    """In recipe proper, average only over the frames of the clip; False averages over padding as the original does."""
    init_checkpoint: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Model to start from (.pth); None starts from random weights."""
    seed: int = Field(default=1, ge=0)
    """Of the first weights and of the order of clips."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16, fp16: mixed precision; weights stay float32. fp16 needs a GPU: on a CPU Lightning takes bf16 instead."""
    selection: Literal["best_val", "last"] = "best_val"
    """Which epoch's model is kept: best mean recall on the val clips, or the last."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a better mean recall on val; None never stops early."""
    micro_batch_size: int = Field(default=16, ge=1)
    """In recipe upstream, clips that go through the network at once; no result depends on it beyond rounding."""
    statistics_over: Annotated[int | None, IN_RECIPE_WHEN_SET] = Field(default=None, ge=2)
    """In recipe proper, clips that batch statistics are taken over and that go through the network at once, as they
    were drawn; None: the batch, or a process's share of it. The original's are those of one GPU."""
    schedule: Annotated[Literal["step", "cosine"], IN_RECIPE_WHEN_SET] = "step"
    """step: `lr_decay` after each epoch, as the original; cosine: down to 0 in the last step."""
    warmup_steps: Annotated[int, IN_RECIPE_WHEN_SET] = Field(default=0, ge=0)
    """Steps in which the learning rate rises to `learning_rate`, before the schedule begins; the original has none."""
    weight_decay: Annotated[float, IN_RECIPE_WHEN_SET] = Field(default=0.0, ge=0)
    """Adam's L2 penalty; the original has none."""
    clip_gradient_norm: Annotated[float | None, IN_RECIPE_WHEN_SET] = Field(default=None, gt=0)
    """Largest norm of all gradients together, logged either way; None, as in the original, clips nothing."""
    learn_logit_scale: Annotated[bool, IN_RECIPE_WHEN_SET] = False
    """Multiply scores by a factor that is learned, from 1 on; the original has none, and no retrieval depends on it."""
    wandb_project: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Log to Weights & Biases too, where the package wandb is installed."""
    checkpoint_every_s: Annotated[float, OUTSIDE_RECIPE] = Field(default=300.0, ge=0)
    """Seconds after which the state to resume from is written within an epoch; a killed training repeats so much."""
    device: Annotated[str, OUTSIDE_RECIPE] = "auto"
    """Lightning's accelerator: auto, cpu, cuda."""

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> "TrainSettings":
        if self.patience is not None and self.selection == "last":
            raise ValueError('patience counts epochs without a better recall on val: selection must be "best_val"')
        if self.learn_logit_scale and self.precision == "fp16":
            raise ValueError('learn_logit_scale needs precision "fp32" or "bf16"')
        return self

    @property
    def families(self) -> tuple[str, ...]:
        """The families of `features`, in the order the video head sees them."""
        return tuple(self.features.split("+"))


_ORIGINAL = {"recipe": "upstream", "learning_rate": 1e-4, "lr_decay": 1.0, "seed": 1, "selection": "last"}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "scratch": {**_ORIGINAL, "batch_size": 64, "epochs": 15, "init_checkpoint": None},
    "finetune": {**_ORIGINAL, "batch_size": 256, "epochs": 5},
    "howto100m": {
        "recipe": "proper", "mask_padding": False, "batch_size": 4096, "epochs": 30, "learning_rate": 1e-3,
        "lr_decay": 0.9, "seed": 1, "statistics_over": 2048, "selection": "last",
    },
    "upstream": {"recipe": "upstream"},
    "proper": {"recipe": "proper"},
}  # fmt: skip
"""Fields of `TrainSettings` by name: the original's hyper-parameters, and its two ways of treating batch norm."""


class WindowSettings(Settings):
    """What pre-training cuts from whole videos; the defaults are the original's on HowTo100M."""

    per_video: int = Field(default=32, ge=1)
    """Windows of each video in a step (the original's n_pair); `train.batch_size` counts windows."""
    num_frames: int = Field(default=1000, ge=16)
    """Log-mel frames of a window, 100 a second; what is shorter is padded."""
    drawn: Literal["random", "speech"] = "random"
    """random: from random whole seconds on; speech: a random speech segment (the original's captions) and as many of
    its neighbours as it takes to last `min_s`."""
    min_s: float = Field(default=10.0, gt=0)
    """Of windows drawn by speech; the original's min_time: 10, or 8 for its three-modal model."""
    csv: Annotated[str | None, OUTSIDE_RECIPE] = None
    """File of the original's HowTo100M loader, with a column `path`: npz files are read in place, not the tables."""
    features_folder: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Where PATH/ID_2d.npz and PATH/ID_3d.npz lie; the csv's own folder when not given."""
    audio_folder: Annotated[str | None, OUTSIDE_RECIPE] = None
    """Where PATH/ID_spec.npz lie; `features_folder` when not given."""


class EvaluateSettings(Settings):
    """How a model is evaluated."""

    metrics: Literal["expected", "upstream"] = "expected"
    """expected: ties count as the chance of a random order; upstream: the original's figures, ties counted twice."""
    num_bootstrap: int = Field(default=1000, ge=0)
    """Samples of the bootstrap interval; 0 leaves it out."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of the bootstrap interval."""
    num_shuffles: int = Field(default=20, ge=0)
    """Random pairings whose mean recall shows what the model gets without the right pairs; 0 leaves it out."""
    seed: int = Field(default=1, ge=0)
    """Of bootstrap and shuffles."""
    batch_size: Annotated[int, OUTSIDE_RECIPE] = Field(default=32, ge=1)
    """Clips embedded at once."""
    device: Annotated[str, OUTSIDE_RECIPE] = "auto"
    """auto, cpu, cuda."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the network."""


class AgreeSettings(Settings):
    """How it is scored whether what is said belongs to what is seen; the picture is what `train.features` names."""

    num_folds: int = Field(default=5, ge=2, le=50)
    """Heads, each of which scores what it did not learn from."""
    sound: Annotated[Literal["log_mel", "features_sound"], IN_RECIPE_WHEN_SET] = "log_mel"
    """What is heard: log_mel, stretches of it compared with those of other clips; or features_sound, what an encoder of
    sound knows of words already (`features.encoder_sound`)."""
    num_templates: int = Field(default=1024, ge=8, le=8192)
    """Stretches of sound, of each of two lengths, that clips are compared with."""
    num_draws: int = Field(default=5, ge=1, le=100)
    """Draws of such stretches, a head each; a clip's score is the mean of theirs."""
    num_components: int = Field(default=64, ge=1, le=1024)
    """Principal components of the picture that a sound foretells."""
    ridge: float = Field(default=1.0, gt=0)
    """Of the regression, a feature's worth of it."""
    seed: int = Field(default=1, ge=0)
    """Of templates, folds and shuffled pairs."""
