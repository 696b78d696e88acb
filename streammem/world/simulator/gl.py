"""Which OpenGL draws without a screen; chosen before MuJoCo is imported, which reads it once."""

import ctypes
import ctypes.util
import os
import sys

from streammem.errors import SourceError

GL_ADVICE = (
    "set MUJOCO_GL to egl or osmesa; on Debian they come by:"
    " apt-get install libegl1 libgl1 libosmesa6"
)


def choose_gl() -> str:
    """Set `MUJOCO_GL` to EGL, else to OSMesa, unless it is set; return what it is set to.

    Raises `SourceError` where neither is installed.
    """
    chosen = os.environ.get("MUJOCO_GL", "")
    if chosen or sys.platform != "linux":
        return chosen
    if _egl_devices() > 0:
        chosen = "egl"
    elif ctypes.util.find_library("OSMesa"):
        chosen = "osmesa"
    else:
        raise SourceError(
            "the simulator found no OpenGL that draws without a screen: EGL lists no device and"
            f" OSMesa is not installed; {GL_ADVICE}"
        )
    os.environ["MUJOCO_GL"] = chosen
    # llvmpipe's helper threads do not speed up pictures this small.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    return chosen


def _egl_devices() -> int:
    """Return how many devices EGL can draw on; software counts as one."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return 0
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return 0
    query = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
    )(address)
    count = ctypes.c_int(0)
    return count.value if query(0, None, ctypes.byref(count)) else 0
