"""The GPUs as NVIDIA's driver names them: asked directly, because ONNX Runtime tells only their numbers.

CUDA's driver API through ctypes: no CUDA package is needed, and without a driver there are simply no devices.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

_LIBRARY = "libcuda.so.1"
_NAME_BYTES = 256
# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """One GPU; ``capability`` is the compute capability (major, minor)."""

    number: int
    name: str
    capability: tuple[int, int]
    memory_mb: int

    def __str__(self) -> str:
        """Return it for people."""
        major, minor = self.capability
        return f"{self.number}: {self.name}, sm_{major}{minor}, {round(self.memory_mb / 1024)} GiB"


def gpu_devices() -> tuple[GpuDevice, ...]:
    """Return the devices in the order of their numbers; none without a driver."""
    driver = _driver()
    if driver is None:
        return ()
    count = ctypes.c_int()
    if driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    found = (_device(driver, number) for number in range(count.value))
    return tuple(device for device in found if device)


def driver_cuda_version() -> str:
    """Return the newest CUDA that the driver can run ('13.0'), '' without a driver."""
    driver, version = _driver(), ctypes.c_int()
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)):
        return ""
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _driver() -> Any:
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    # Also fails where the library is there but no GPU is.
    return None if driver.cuInit(0) else driver


def _device(driver: Any, number: int) -> GpuDevice | None:
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    major, minor, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    failed = (
        driver.cuDeviceGet(ctypes.byref(handle), number)
        or driver.cuDeviceGetName(name, _NAME_BYTES, handle)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, handle)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, handle)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(size), handle)
    )
    if failed:
        return None
    return GpuDevice(
        number,
        name.value.decode("utf-8", "replace"),
        (major.value, minor.value),
        size.value >> 20,
    )
