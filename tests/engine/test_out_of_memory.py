"""Errors that say that memory ran out, in words that were recorded from real ones.

Where a text comes from stands beside it: an issue on GitHub, or this host.
"""

import pytest

from engine import out_of_memory, trainer

RECORDED = {
    "pytorch/pytorch 16417": (
        "device",
        "CUDA out of memory. Tried to allocate 22.00 MiB. GPU 0 has a total capacity of 23.65 GiB "
        "of which 11.06 MiB is free. Including non-PyTorch memory, this process has 23.60 GiB",
    ),
    "QwenLM/Qwen3 873": (
        "device",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ),
    "tensorflow/tensorflow 7072": (
        "device", "failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED"
    ),
    "philip-huang/PIXOR 31": (
        "device",
        "failed to allocate 17.79G (19104890880 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY: out "
        "of memory",
    ),
    "google-deepmind/jaxline 11": (
        "device", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 285212672 bytes."
    ),
    "NVIDIA/DeepLearningExamples 405": (
        "device",
        "2 root error(s) found.\n  (0) Resource exhausted: Out of memory while trying to allocate "
        "68852648264 bytes.\n\t [[{{node cluster_0_1/xla_run}}]]",
    ),
    "pytorch/xla 2569": (
        "device",
        "(1) Resource exhausted: Attempting to allocate 180.59M. That was not possible. There are "
        "142.58M free.; (0x3x0_HBM1)",
    ),
    "pytorch/xla 4847": (
        "device",
        "Bad StatusOr access: RESOURCE_EXHAUSTED: Error loading program: Attempting to reserve "
        "7.04G at the bottom of memory. That was not possible. There are 6.90G free",
    ),
    "pytorch/xla 9524": (
        "device",
        "Bad StatusOr access: RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of "
        "memory in memory space vmem.",
    ),
    "huggingface/transformers 13629": (
        "device", "Failed to allocate request for 64.00MiB (67108864B) on device ordinal 0"
    ),
    "keras-team/keras 9643": (
        "device",
        "OOM when allocating tensor with shape[128,128,109,109] and type float on "
        "/job:localhost/replica:0/task:0/device:GPU:1 by allocator GPU_1_bfc",
    ),
    "tensorflow/tensorflow 7025": ("device", "Dst tensor is not initialized."),
    "TensorFlow 2.21 on this host": (
        "host",
        "{{function_node __wrapped__Fill_device_/job:localhost/replica:0/task:0/device:CPU:0}} OOM "
        "when allocating tensor with shape[1152921504606846976] and type float on "
        "/job:localhost/replica:0/task:0/device:CPU:0 by allocator mklcpu [Op:Fill] name: ",
    ),
    "PyTorch 2.9 on this host": (
        "host",
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 4611686018427387904 bytes. Error code 12 (Cannot allocate memory)",
    ),
    "the kernel, through Python": ("host", "[Errno 12] Cannot allocate memory"),
    "C++, through pybind11": ("host", "std::bad_alloc"),
}  # fmt: skip
# As their sources write them; no record was found.
WRITTEN = {
    "CUDA's driver_types.h": ("device", "cudaErrorMemoryAllocation: out of memory"),
    "PyTorch's CUDAException.cpp": ("device", "CUDA error: out of memory\nCUDA kernel errors"),
    "NCCL's checks.h": ("device", "Last error:\nCuda failure 2 'out of memory'"),
    "PyTorch's cudnn/Exceptions.h": ("device", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "XLA's cpu allocator": ("device", "RESOURCE_EXHAUSTED: Out of memory allocating 16384 bytes."),
}
OTHERS = {
    "TensorFlow, of a disk": "ResourceExhaustedError: /store/x; No space left on device",
    "gRPC": "RESOURCE_EXHAUSTED: Received message larger than max (5242880 vs. 4194304)",
    "cuBLAS": "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "PyTorch": "mat1 and mat2 shapes cannot be multiplied (128x784 and 28x10)",
}


@pytest.mark.parametrize("source", [*RECORDED, *WRITTEN])
def test_an_error_of_want_of_memory_is_known_by_its_words(source):
    whose, text = (RECORDED | WRITTEN)[source]
    assert out_of_memory.of(RuntimeError(text)) == whose
    failed = trainer.failure_of(RuntimeError(text))
    assert failed.kind == "out_of_memory"
    assert failed.sentence.startswith(f"The {whose} ran out of memory. Try ")


@pytest.mark.parametrize("source", OTHERS)
def test_other_errors_are_no_want_of_memory(source):
    assert out_of_memory.of(RuntimeError(OTHERS[source])) is None


def test_every_entry_of_the_table_has_an_example():
    texts = [text for _, text in (RECORDED | WRITTEN).values()]
    numpys = "Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type int64"
    first = [next(w for w in out_of_memory.TABLE if w.matches(text)) for text in [*texts, numpys]]
    assert set(first) == set(out_of_memory.TABLE)


def test_an_error_that_hides_another_is_asked_what_it_came_of():
    with pytest.raises(RuntimeError) as hidden:
        try:
            raise MemoryError
        except MemoryError as error:
            raise RuntimeError("The loader failed.") from error
    assert out_of_memory.of(hidden.value) == "host"


@pytest.mark.parametrize(
    ("last_words", "whose"),
    [
        (
            "F tensorflow/tsl/platform/statusor.cc:33] Attempting to fetch value instead of "
            "handling error RESOURCE_EXHAUSTED: Error loading program: Attempting to reserve 7.04G "
            "at the bottom of memory.\n*** SIGABRT received by PID 13755 ***\n",  # pytorch/xla 4847
            "device",
        ),
        (
            "terminate called after throwing an instance of 'std::bad_alloc'\n"
            "  what():  std::bad_alloc\n",
            "host",
        ),
        ("gloo: Connection closed by peer\n", None),
    ],
)
def test_a_process_that_aborted_is_known_by_the_end_of_its_log(last_words, whose, tmp_path):
    log = tmp_path / "trainer.log"
    assert out_of_memory.said_in(log) is None
    log.write_text("CUDA out of memory, long ago\n" + 100_000 * "." + last_words)
    assert out_of_memory.said_in(log) == whose
