// What a scan is asked for, and how its sequences are cut into chunks and segments.
#pragma once
#include <algorithm>

#include "native_tiles.h"

// Mirrored field by field in native_library.py. Strides count floats from token to token; what
// is optional is null where it is not wanted.
struct Problem {
  int64_t batch, frames, rows, columns, tile_height, tile_width;
  int64_t heads, headdim, groups, state, chunk, threads;
  int64_t x_stride, dt_stride, B_stride, C_stride, dy_stride;
  const float *x, *dt, *A, *B, *C, *D, *initial;
  const uint8_t *reset;
  float *y, *final, *saved;
  const float *dy, *dfinal;
  float *dx, *ddt, *dA, *dB, *dC, *dD, *dinitial;
};

namespace {

constexpr int64_t WORK_OF_A_THREAD = 1 << 23;  // additions and products that a thread is woken for

struct Plan : Problem {
  int64_t across, tiles_in_grid, sequences, area, length, chunks;
  int64_t Q, N, P;       // chunk, state and headdim, padded to whole blocks
  int64_t state_floats;  // of one head

  explicit Plan(const Problem &problem) : Problem(problem) {
    across = columns / tile_width;
    tiles_in_grid = rows / tile_height * across;
    sequences = batch * tiles_in_grid;
    area = tile_height * tile_width;
    length = frames * area;
    chunks = (length + chunk - 1) / chunk;
    Q = padded(chunk < length ? chunk : length);
    N = padded(state);
    P = padded(headdim);
    state_floats = state * P;
    const int64_t work = sequences * length * heads * P * (4 * state + Q);
    threads = std::clamp<int64_t>(work / WORK_OF_A_THREAD, 1, threads);
  }
  bool resets(int64_t sequence, int64_t t) const {
    return reset && t % area == 0 && reset[sequence / tiles_in_grid * frames + t / area];
  }
  bool starts_empty(int64_t sequence, int64_t t) const {
    return resets(sequence, t) || (t == 0 && !initial);
  }
  int64_t chunk_end(int64_t c) const { return std::min((c + 1) * chunk, length); }
  // A segment ends with its chunk or before the next reset, and begins likewise.
  int64_t segment_end(int64_t sequence, int64_t begin) const {
    const int64_t end = chunk_end(begin / chunk);
    if (reset)
      for (int64_t t = begin + area - begin % area; t < end; t += area)
        if (resets(sequence, t)) return t;
    return end;
  }
  int64_t segment_begin(int64_t sequence, int64_t end) const {
    const int64_t begin = (end - 1) / chunk * chunk;
    if (reset)
      for (int64_t t = (end - 1) / area * area; t > begin; t -= area)
        if (resets(sequence, t)) return t;
    return begin;
  }
  float *saved_state(int64_t sequence, int64_t c, int64_t h) const {
    return saved + ((sequence * chunks + c) * heads + h) * state_floats;
  }
  int64_t state_at(int64_t sequence, int64_t h) const {
    return (sequence * heads + h) * state * headdim;
  }
};

// States lie unpadded in tensors and padded in between.
void pad_state(const Plan &p, float *to, const float *from) {
  for (int64_t n = 0; n < p.state; ++n)
    for (int64_t j = 0; j < p.P; j += W)
      store(to + n * p.P + j, from ? load(from + n * p.headdim + j, p.headdim - j) : Vec{});
}
void unpad_state(const Plan &p, float *to, const float *from) {
  for (int64_t n = 0; n < p.state; ++n)
    memcpy(to + n * p.headdim, from + n * p.P, p.headdim * sizeof(float));
}

}  // namespace
