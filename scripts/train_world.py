"""Train the world model on recorded walks.

    .venv/bin/python scripts/train_world.py --data DIR --out DIR [--preset small] [--hours 2]

DIR/train and DIR/heldout hold what scripts/collect_maze.py wrote. The run goes on from the newest
checkpoint in --out, with the same numbers as if it had not stopped; a second run with other
settings there is refused. Written to --out: settings.json, log.jsonl (a line each --every steps:
loss, frames seen, frames/s), checkpoint/ (weights, their moving average, the optimizer and the
state of every random generator, as safetensors and JSON; written when it is interrupted too) and
rollout-N.png: held-out frames, and what the model makes of the next ones.

Clips grow: each entry of a preset's `frames` takes an equal share of the steps. In bfloat16 where
the CPU multiplies it natively, else in float32.
"""

import argparse
import json
import math
import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from streammem.errors import UsageError
from streammem.ops.memory_attention import Memory, Views
from streammem.world.clips import ClipPlan, Clips, draw_clips
from streammem.world.episodes import Episode, load_episode
from streammem.world.flow import LevelPlan, levels_down, mix, velocity_loss
from streammem.world.planes import from_planes
from streammem.world.sampler import draw_frame, take_in
from streammem.world.transformer import WorldState, WorldTransformer


@dataclass(frozen=True, slots=True)
class Preset:
    """How large the model is and how it learns."""

    channels: int
    layers: int
    heads: int
    window_frames: int
    tiles: tuple[int, ...]
    steps: int
    frames: tuple[int, ...]
    frames_a_step: int
    rate: float = 6e-4
    warm_up: int = 500
    weight_decay: float = 0.02
    average: float = 0.9995
    motion_weight: float = 10.0


PRESETS = {
    "small": Preset(256, 6, 4, 4, (1, 2, 4), steps=12_000, frames=(16, 32, 64), frames_a_step=64),
    "tiny": Preset(64, 2, 1, 2, (1, 4), steps=40, frames=(8, 16), frames_a_step=16, warm_up=5),
    "large": Preset(
        512, 12, 8, 8, (1, 2, 4, 8), steps=200_000, frames=(32, 64, 128), frames_a_step=1024
    ),
}


class Run:
    """A training run: all that changes while it goes on."""

    def __init__(self, preset: Preset, walks: list[Episode], *, seed: int) -> None:
        torch.manual_seed(seed)
        self.preset, self.walks = preset, walks
        self.model = WorldTransformer(
            channels=preset.channels,
            layers=preset.layers,
            heads=preset.heads,
            window_frames=preset.window_frames,
            tiles=preset.tiles,
            headdim=min(64, preset.channels),
            actions=len(walks[0].actions),
        )
        self.average = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        vectors = [p for p in self.model.parameters() if p.ndim < 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": preset.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=preset.rate,
            betas=(0.9, 0.95),
            fused=True,
        )
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.step = self.frames_seen = 0

    def learn(self) -> dict[str, float]:
        """Take one step and return its losses."""
        preset = self.preset
        stage = min(self.step * len(preset.frames) // preset.steps, len(preset.frames) - 1)
        frames = preset.frames[stage]
        plan = ClipPlan(frames=frames, gap=preset.window_frames)
        count = max(1, preset.frames_a_step // frames)
        clips = draw_clips(self.walks, plan, clips=count, cell_px=8, rng=self.rng)
        level, finished = LevelPlan().draw(count, frames, self.generator)
        noise = torch.randn(clips.planes.shape, generator=self.generator)
        for group in self.optimizer.param_groups:
            group["lr"] = preset.rate * self._schedule()
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()):
            drawn = self.model(
                mix(clips.planes, noise, level),
                level,
                clips.action,
                clips.rays,
                self.model.init_state(count),
                memory=memories(self.model, clips, plan.segment),
                ages_s=by_frame(clips.view_age_s, frames, plan.segment),
            )
            motion = self.model.motion(drawn.hidden[:, :-1], clips.action[:, 1:])
        picture = velocity_loss(drawn.planes.float(), clips.planes, level, finished)
        sure = (level[:, :-1] < 0.3).float()[..., None]
        moved = ((motion.float() - clips.motion[:, :-1]).square() * sure).sum() / (
            6 * sure.sum().clamp_min(1)
        )
        (picture + preset.motion_weight * moved).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.frames_seen += count * frames
        keep = min(preset.average, self.step / (self.step + 9))
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                self.average[name].lerp_(tensor, 1 - keep)
        losses = {"picture": picture, "motion": moved, "norm": norm}
        return {name: loss.item() for name, loss in losses.items()}

    def _schedule(self) -> float:
        """Return the share of the rate: a rise, then all of it, then down to nothing at the end."""
        rise = min(1.0, (self.step + 1) / self.preset.warm_up)
        left = 1 - self.step / self.preset.steps
        return rise * min(1.0, max(left, 0.0) / 0.2)

    def save(self, folder: Path) -> None:
        """Write a checkpoint that is there whole or not at all."""
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
        unfinished.mkdir(parents=True, exist_ok=True)
        save_file(self.model.state_dict(), unfinished / "model.safetensors")
        save_file(self.average, unfinished / "average.safetensors")
        slots = self.optimizer.state_dict()["state"]
        save_file(
            {
                f"{number}.{name}": tensor.contiguous()
                for number, slot in slots.items()
                for name, tensor in slot.items()
            },
            unfinished / "optimizer.safetensors",
        )
        save_file({"noise": self.generator.get_state()}, unfinished / "generator.safetensors")
        progress = {
            "step": self.step,
            "frames_seen": self.frames_seen,
            "rng": self.rng.bit_generator.state,
        }
        (unfinished / "progress.json").write_text(json.dumps(progress))
        old = folder.with_name(f"{folder.name}.old")
        if folder.exists():
            folder.rename(old)
        unfinished.rename(folder)
        if old.exists():
            for file in old.iterdir():
                file.unlink()
            old.rmdir()

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(load_file(folder / "model.safetensors"))
        self.average = load_file(folder / "average.safetensors")
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in load_file(folder / "optimizer.safetensors").items():
            number, name = key.split(".")
            state.setdefault(int(number), {})[name] = tensor
        described = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**described, "state": state})
        self.generator.set_state(load_file(folder / "generator.safetensors")["noise"])
        progress = json.loads((folder / "progress.json").read_text())
        self.rng.bit_generator.state = progress["rng"]
        self.step, self.frames_seen = progress["step"], progress["frames_seen"]


def memories(model: WorldTransformer, clips: Clips, segment: int) -> list[Memory]:
    """Return each layer's memory of the clips' frames."""
    frames = clips.planes.shape[1]
    poses, valid = (by_frame(t, frames, segment) for t in (clips.view_pose, clips.view_valid))
    return [
        Views(
            by_frame(keys, frames, segment), by_frame(values, frames, segment), poses, valid
        ).seen_from(clips.pose, pose_channels=model.pose_channels, unit_m=model.unit_m)
        for keys, values in model.project_views(clips.view_planes)
    ]


def by_frame(segments: Tensor, frames: int, segment: int) -> Tensor:
    """Return `[clips, segments, ...]` as `[clips, frames, ...]`."""
    return segments.index_select(1, torch.arange(frames) // segment)


def multiplies_bfloat16() -> bool:
    """Return whether this CPU has instructions for products of bfloat16."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@torch.no_grad()
def judge(run: Run, walks: list[Episode], *, context: int, horizon: int) -> dict[str, Any]:
    """Return how near held-out frames are drawn after `context` true ones, and the pictures."""
    rng = np.random.default_rng(0)
    plan = ClipPlan(
        frames=context + horizon, none_share=0, wrong_share=0, gap=run.preset.window_frames
    )
    clips = draw_clips(walks, plan, clips=4, cell_px=8, rng=rng)
    held = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.model.load_state_dict(run.average)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(clips.planes.shape, generator=generator)
    levels = levels_down(4)
    result: dict[str, Any] = {}
    for name in ("memory", "none"):
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()):
            whole = memories(run.model, clips, plan.segment) if name == "memory" else None
            ages = by_frame(clips.view_age_s, context + horizon, plan.segment)

            def part(span: slice, whole: list[Memory] | None = whole) -> list[Memory] | None:
                return whole and [
                    Memory(m.keys[:, span], m.values[:, span], m.valid[:, span]) for m in whole
                ]

            known = slice(0, context)
            state: WorldState = take_in(
                run.model,
                run.model.init_state(4),
                clips.planes[:, known],
                clips.action[:, known],
                clips.rays[:, known],
                memory=part(known),
                ages_s=ages[:, known],
            )[1]
            drawn = []
            for frame in range(context, context + horizon):
                now = slice(frame, frame + 1)
                planes, _, state = draw_frame(
                    run.model,
                    state,
                    action=clips.action[:, now],
                    rays=clips.rays[:, now],
                    noise=noise[:, now],
                    levels=levels,
                    memory=part(now),
                    ages_s=ages[:, now],
                )
                drawn.append(planes)
        dreamt = torch.cat(drawn, 1)
        error = (dreamt - clips.planes[:, context:])[..., :3].square().mean((2, 3, 4)) / 4
        psnr = (-10 * error.log10()).mean(0)
        for ahead in (1, horizon // 2, horizon):
            result[f"psnr_{name}_{ahead}"] = round(float(psnr[ahead - 1]), 3)
        result[f"picture_{name}"] = dreamt
    run.model.load_state_dict(held)
    result["picture_true"] = clips.planes[:, context:]
    return result


def picture(result: dict[str, Any], path: Path) -> None:
    """Write what was true, drawn with memory, and without, one under the other."""
    rows = []
    for clip in range(2):
        for name in ("true", "memory", "none"):
            rgb, _ = from_planes(result[f"picture_{name}"][clip])
            rows.append(np.concatenate(list(rgb[:: max(1, len(rgb) // 12)]), axis=1))
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--hours", type=float, default=math.inf, help="stop after so long")
    parser.add_argument("--walks", type=int, help="use at most so many walks")
    parser.add_argument("--every", type=int, default=50, help="steps from one log line to the next")
    parser.add_argument("--save-minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    if arguments.steps:
        preset = replace(preset, steps=arguments.steps)
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {"preset": asdict(preset), "seed": arguments.seed, "walks": arguments.walks}
    file = arguments.out / "settings.json"
    written = json.dumps(settings, indent=1)
    if file.exists() and file.read_text() != written:
        raise UsageError(f"{file} has other settings; take them up again or choose another --out")
    file.write_text(written)
    recorded = sorted((arguments.data / "train").glob("*.npz"))
    walks = [load_episode(path) for path in recorded[: arguments.walks]]
    held_out = [
        load_episode(path) for path in sorted((arguments.data / "heldout").glob("*.npz"))[:8]
    ]
    run = Run(preset, walks, seed=arguments.seed)
    folder = arguments.out / "checkpoint"
    if folder.exists():
        run.load(folder)
    parameters = sum(p.numel() for p in run.model.parameters())
    print(
        f"{parameters / 1e6:.2f} M parameters, {sum(len(w.rgb) for w in walks)} frames, "
        f"{'bfloat16' if multiplies_bfloat16() else 'float32'}, {torch.get_num_threads()} threads, "
        f"from step {run.step}",
        flush=True,
    )
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopping.append(number))
    began = saved = counted = time.monotonic()
    losses: list[dict[str, float]] = []
    seen = run.frames_seen
    while (
        run.step < preset.steps
        and time.monotonic() - began < arguments.hours * 3600
        and not stopping
    ):
        losses.append(run.learn())
        now = time.monotonic()
        last = run.step == preset.steps
        if run.step % arguments.every == 0 or last:
            line: dict[str, Any] = {
                name: round(sum(loss[name] for loss in losses) / len(losses), 6)
                for name in losses[0]
            }
            line |= {"step": run.step, "frames": run.frames_seen}
            line["frames_per_s"] = round((run.frames_seen - seen) / (now - counted), 2)
            losses, seen, counted = [], run.frames_seen, now
            with (arguments.out / "log.jsonl").open("a") as log:
                print(json.dumps(line), file=log)
            print(json.dumps(line), flush=True)
        if now - saved > 60 * arguments.save_minutes or last:
            run.save(folder)
            result = judge(run, held_out, context=32, horizon=24)
            picture(result, arguments.out / f"rollout-{run.step}.png")
            figures = {name: value for name, value in result.items() if "psnr" in name}
            print(json.dumps({"step": run.step, **figures}), flush=True)
            with (arguments.out / "log.jsonl").open("a") as log:
                print(json.dumps({"step": run.step, **figures}), file=log)
            saved = counted = time.monotonic()
    run.save(folder)


if __name__ == "__main__":
    main()
