from __future__ import annotations

import shutil
import subprocess

import pytest

from b2g_rt import doctor
from b2g_rt.config import load_config
from b2g_rt.inference import gpu_devices
from b2g_rt.inference.providers import has_driver

COMPILER = shutil.which("cc") or shutil.which("gcc")
# The calls of CUDA's driver API that are used, for a machine with two cards.
DRIVER = r"""
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int number) { *device = number + 7; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 7 ? "NVIDIA H100 80GB HBM3" : "NVIDIA GeForce RTX 4090", size);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (attribute != 75 && attribute != 76) return 1;
    *value = device == 7 ? (attribute == 75 ? 9 : 0) : (attribute == 75 ? 8 : 9);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = (size_t)(device == 7 ? 81559 : 24564) << 20;
    return 0;
}
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Compile a driver; returns a function of what cuInit returns."""
    if COMPILER is None:
        pytest.skip("no C compiler")

    def made(init: int = 0) -> None:
        source, library = tmp_path / "driver.c", tmp_path / f"libcuda{init}.so"
        source.write_text(DRIVER.replace("INIT", str(init)))
        subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, source], check=True)
        monkeypatch.setattr(gpu_devices, "_LIBRARY", str(library))

    return made


def test_devices_are_named_as_the_driver_names_them(driver):
    driver()
    assert [str(d) for d in gpu_devices.gpu_devices()] == [
        "0: NVIDIA H100 80GB HBM3, sm_90, 80 GiB",
        "1: NVIDIA GeForce RTX 4090, sm_89, 24 GiB",
    ]
    assert gpu_devices.driver_cuda_version() == "13.2"


def test_a_driver_without_a_card_has_no_devices(driver):
    driver(init=100)
    assert gpu_devices.gpu_devices() == ()
    assert gpu_devices.driver_cuda_version() == ""


@pytest.mark.skipif(has_driver(), reason="a GPU driver is installed")
def test_without_a_driver_there_are_no_devices():
    assert gpu_devices.gpu_devices() == ()
    assert gpu_devices.driver_cuda_version() == ""


def test_the_doctor_lists_the_cards_and_refuses_a_number_that_is_none(driver):
    driver()
    found = doctor._gpu(load_config(None, ["inference.provider=cuda"]))
    assert found.verdict == "ok"
    assert "H100" in found.found
    assert "CUDA 13.2" in found.found
    wrong = doctor._gpu(load_config(None, ["inference.device_id=2"]))
    assert wrong.verdict == "fault"
    assert "inference.device_id=2 is none of them" in wrong.remedy


@pytest.mark.skipif(has_driver(), reason="a GPU driver is installed")
def test_the_doctor_finds_fault_with_a_missing_card_only_where_one_is_asked_for():
    assert doctor._gpu(load_config()).verdict == "ok"
    assert doctor._gpu(load_config(None, ["inference.provider=cuda"])).verdict == "fault"
    (missing,) = [
        f
        for f in doctor.examine(load_config(None, ["inference.provider=tensorrt"]))
        if f.what == "providers"
    ]
    assert "'tensorrt-cu13<11'" in missing.remedy
