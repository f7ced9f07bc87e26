"""The loss gives the original's numbers."""

import golden_avlnet as golden
import pytest
import torch

from model.loss import mms_loss

D_LOSS = golden.load("d_loss.npz")


def sides(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(
        torch.from_numpy(golden.RULE["arr"](f"d/{side}/{n}", (n, 64), scale)).requires_grad_()
        for side, scale in (("a", 0.125), ("v", 1.0))
    )


@pytest.mark.parametrize("n", [4, 32])
@pytest.mark.parametrize("margin", ["0.001", "0", "0.1", "1"])
def test_loss_equals_the_originals(n, margin):
    loss = mms_loss(torch.from_numpy(D_LOSS[f"n{n}_S"]), margin=float(margin))
    assert loss.item() == pytest.approx(float(D_LOSS[f"n{n}_m{margin}_loss"]), abs=1e-4)


@pytest.mark.parametrize("n", [4, 32])
@pytest.mark.parametrize("margin", ["0.001", "1"])
def test_gradients_equal_the_originals(n, margin):
    audio, video = sides(n)
    mms_loss(audio @ video.T, margin=float(margin)).backward()
    assert golden.relative_error(audio.grad, D_LOSS[f"n{n}_m{margin}_gA"]) < 1e-5
    assert golden.relative_error(video.grad, D_LOSS[f"n{n}_m{margin}_gV"]) < 1e-5


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match=r"\[B, B\], got \[2, 3\]"):
        mms_loss(torch.zeros(2, 3))
