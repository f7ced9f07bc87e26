import pytest
import torch

from datasets.devices import NoRoomError, device_errors
from datasets.outcomes import DeviceError

CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
CUDNN = "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
NO_ENGINE = "GET was unable to find an engine to execute this computation"
ON_A_CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
BY_OPENVINO = "Exception from infer_request.cpp:224:\n[CPU] Node\nFailed to allocate 53760000 bytes of memory\n\n"
OUTSIDE = "CUDA error: out of memory\nCUDA ran out of memory outside PyTorch's allocator."


@pytest.mark.parametrize("error", [RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), RuntimeError("shape")])
def test_whatever_a_gpu_complains_of_is_its_own_fault_and_what_a_cpu_does_is_not(error):
    with pytest.raises(DeviceError, match="cuda:0 fails: "), device_errors("cuda:0"):
        raise error
    with pytest.raises(RuntimeError, match=str(error)), device_errors("cpu"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried"),
        torch.AcceleratorError(OUTSIDE),
        *map(RuntimeError, (CUBLAS, CUDNN, NO_ENGINE, ON_A_CPU, BY_OPENVINO)),
    ],
)
def test_no_room_is_told_apart_whoever_says_it(error):
    with (
        pytest.raises(NoRoomError, match=r"cuda:0 has no room \((CUDA|cuDNN|GET|\[enforce|Failed) "),
        device_errors("cuda:0"),
    ):
        raise error


def test_torchs_own_error_of_a_device_is_the_devices_on_any():
    with pytest.raises(DeviceError, match="cpu fails: "), device_errors("cpu"):
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be")
