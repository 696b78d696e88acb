"""Colour and metric depth of a MuJoCo model from any camera pose, in one pass without a screen."""

import atexit
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammem.errors import SourceError
from streammem.records import Image
from streammem.world.simulator.gl import GL_ADVICE

Picture: TypeAlias = tuple[Image, NDArray[np.float32]]

_OPENGL_FROM_OPENCV = np.array([1.0, -1.0, -1.0])
_STOP_S = 5.0


class Drawing:
    """Draws one model with one of its cameras, moved to where it is wanted.

    OpenGL belongs to the thread it was started on: a thread of its own does the drawing, so that
    any thread may ask for it. `close`, or the end of the program, frees what it holds. Raises
    `SourceError` where OpenGL cannot draw.
    """

    def __init__(self, model: Any, *, camera: str, side_px: int) -> None:
        try:
            self._painter = _Painter(model, camera, side_px)
        except Exception as error:
            raise SourceError(
                f"the simulator cannot draw: {error or type(error).__name__}; {GL_ADVICE}"
            ) from error
        # Registered after OpenGL's own ending, and so called before it.
        self._free = weakref.finalize(self, _end, self._painter)
        self._free.atexit = False
        atexit.register(self._free)

    def draw(self, data: Any, camera_to_world: NDArray[np.float64]) -> Picture:
        """Return colour uint8 `[S, S, 3]` and z-depth in metres `[S, S]`, NaN where there is sky.

        `data` is MuJoCo's, with the places of all bodies computed; `camera_to_world [4, 4]` has
        OpenCV axes.
        """
        return self._painter.ask(data, camera_to_world).result()

    def close(self) -> None:
        """Free the picture memory and end the thread."""
        self._free()
        atexit.unregister(self._free)


def _end(painter: "_Painter") -> None:
    painter.wanted.put(None)
    if threading.current_thread() is not painter:
        painter.join(_STOP_S)


class _Painter(threading.Thread):
    """The thread that OpenGL lives on."""

    def __init__(self, model: Any, camera: str, side_px: int) -> None:
        super().__init__(name="streammem-painter", daemon=True)
        self._model, self._camera, self._side_px = model, camera, side_px
        self.wanted: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ready: Future[None] = Future()
        self.start()
        self._ready.result()

    def ask(self, data: Any, camera_to_world: NDArray[np.float64]) -> Future[Picture]:
        """Return the picture to come."""
        picture: Future[Picture] = Future()

        def paint() -> None:
            try:
                picture.set_result(self._paint(data, camera_to_world))
            except BaseException as error:
                picture.set_exception(error)

        self.wanted.put(paint)
        return picture

    def run(self) -> None:
        """Draw what is wanted until the end."""
        try:
            self._begin()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        while (paint := self.wanted.get()) is not None:
            paint()
        self._context.free()
        self._gl.free()

    def _begin(self) -> None:
        import mujoco

        self._gl = mujoco.GLContext(self._side_px, self._side_px)
        self._gl.make_current()
        self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        # Far is 0, where floats are finest, so that distant walls keep their millimetres.
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = mujoco.MjvScene(self._model, maxgeom=self._model.ngeom + 16)
        self._options = mujoco.MjvOption()
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = self._model.camera(self._camera).id
        self._viewport = mujoco.MjrRect(0, 0, self._side_px, self._side_px)

    def _paint(self, data: Any, camera_to_world: NDArray[np.float64]) -> Picture:
        import mujoco

        camera, side = self._view.fixedcamid, self._side_px
        data.cam_xpos[camera] = camera_to_world[:3, 3]
        data.cam_xmat[camera] = (camera_to_world[:3, :3] * _OPENGL_FROM_OPENCV).ravel()
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._options,
            None,
            self._view,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        rgb = np.empty((side, side, 3), np.uint8)
        nearness = np.empty((side, side), np.float32)
        mujoco.mjr_readPixels(rgb, nearness, self._viewport, self._context)
        near = self._model.vis.map.znear * self._model.stat.extent
        far = self._model.vis.map.zfar * self._model.stat.extent
        depth_m = near * far / (near + nearness[::-1].astype(np.float64) * (far - near))
        # The sky is drawn as a box near the far end.
        depth_m[depth_m > far / 4] = np.nan
        return np.ascontiguousarray(rgb[::-1]), depth_m.astype(np.float32)
