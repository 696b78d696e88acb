// The block scan for CPUs, in chunks (Mamba-2, arXiv 2405.21060, section 6), float32.
//
// One head, one chunk of Q tokens, u = dt x, a = dt A, c = running sum of a, S the state before:
//
//   M_ij = (C_i . B_j) e^(c_i - c_j)  for j <= i          W_j = e^(c_Q - c_j)
//   y_i  = e^(c_i) S^T C_i + sum_j M_ij u_j + D x_i
//   S'   = e^(c_Q) S + sum_j W_j B_j u_j^T
//
// and backward, with g the gradient of y and Z the gradient of S':
//
//   du_j = W_j Z^T B_j + sum_i M_ij g_i
//   dC_i = sum over heads of e^(c_i) S g_i  + sum_j e^(c_i - c_j) (g_i . u_j) B_j
//   dB_j = sum over heads of W_j Z u_j      + sum_i e^(c_i - c_j) (g_i . u_j) C_i
//   dS   = e^(c_Q) Z + sum_i e^(c_i) C_i g_i^T
//   da_t = every term above that holds e^(a_t)
//
// The heads of a group share C B^T. A chunk ends before a frame that resets, so every segment
// starts either where a chunk does or from an empty state. No result depends on the number of
// threads: each number is summed by one thread, in one order.
#include "native_tiles.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

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

// What one thread holds of the segment it works on. Rows and columns are padded by zeros.
struct Segment {
  const Plan &p;
  int64_t count, Q;                      // tokens; the same padded
  int64_t *token;                        // [Q] in the grid's order
  double *sum;                           // [Q] c
  float *high, *low;                     // [Q] c in two floats
  float *step, *from_start, *to_end;     // [Q] dt, e^(c_i), e^(c_Q - c_j)
  float *B, *C, *Bt, *Ct;                // [Q, N], [N, Q]
  float *CB, *M, *L;                     // [Q, Q] blocks on and below the diagonal
  float *u, *v;                          // [Q, P]
  float *g, *gt, *ut;                    // [Q, P], [P, Q]
  float *dCB, *dBt, *dCt, *turned;       // [Q, Q], [N, Q], [N, Q], [Q, N]
  float *M_rows, *x_rows;                // [Q, W] parts of sums over rows
  float *M_row, *M_column, *from_C, *from_B, *x_du;  // [Q]
  float kept;                            // e^(c_Q)

  static int64_t floats(const Plan &p, bool backward) {
    const int64_t Q = p.Q, N = p.N, P = p.P;
    return backward ? (14 + 2 * W) * Q + 7 * Q * N + 4 * Q * Q + 5 * Q * P
                    : 9 * Q + 3 * Q * N + 2 * Q * Q + 2 * Q * P;
  }
  Segment(const Plan &plan, float *memory, bool backward) : p(plan) {
    auto take = [&](int64_t floats) { return std::exchange(memory, memory + floats); };
    token = reinterpret_cast<int64_t *>(take(2 * p.Q));
    sum = reinterpret_cast<double *>(take(2 * p.Q));
    for (float **each : {&high, &low, &step, &from_start, &to_end}) *each = take(p.Q);
    for (float **each : {&B, &C, &Bt}) *each = take(p.Q * p.N);
    for (float **each : {&CB, &M}) *each = take(p.Q * p.Q);
    for (float **each : {&u, &v}) *each = take(p.Q * p.P);
    if (!backward) return;
    for (float **each : {&M_row, &M_column, &from_C, &from_B, &x_du}) *each = take(p.Q);
    for (float **each : {&M_rows, &x_rows}) *each = take(p.Q * W);
    for (float **each : {&Ct, &dBt, &dCt, &turned}) *each = take(p.Q * p.N);
    for (float **each : {&L, &dCB}) *each = take(p.Q * p.Q);
    for (float **each : {&g, &gt, &ut}) *each = take(p.Q * p.P);
  }

  // Find tokens [begin, end) of a sequence in the grid.
  void locate(int64_t sequence, int64_t begin, int64_t end) {
    const int64_t tile = sequence % p.tiles_in_grid, top = tile / p.across * p.tile_height,
                  left = tile % p.across * p.tile_width;
    int64_t frame = sequence / p.tiles_in_grid * p.frames + begin / p.area,
            row = begin % p.area / p.tile_width, column = begin % p.tile_width;
    count = end - begin;
    Q = padded(count);
    for (int64_t i = 0; i < count; ++i) {
      token[i] = (frame * p.rows + top + row) * p.columns + left + column;
      if (++column < p.tile_width) continue;
      column = 0;
      if (++row < p.tile_height) continue;
      row = 0;
      ++frame;
    }
  }

  // to [Q, width] = by_i * the tokens' rows of `size` floats; those of the next head come after
  void gather(float *to, int64_t width, const float *from, int64_t stride, int64_t size,
              const float *by = nullptr) const {
    for (int64_t i = 0; i < Q; ++i)
      for (int64_t j = 0; j < width; j += W) {
        Vec row{};
        if (i < count) {
          row = load(from + token[i] * stride + j, size - j);
          __builtin_prefetch(from + token[i] * stride + j + size);
        }
        store(to + i * width + j, by ? by[i] * row : row);
      }
  }
  void gather_B(int64_t group) {
    gather(B, p.N, p.B + group * p.state, p.B_stride, p.state);
  }
  void gather_C(int64_t group) {
    gather(C, p.N, p.C + group * p.state, p.C_stride, p.state);
  }
  void gather_u(int64_t h) {
    gather(u, p.P, p.x + h * p.headdim, p.x_stride, p.headdim, step);
  }
  void gather_g(int64_t h, const float *by = nullptr) {
    gather(g, p.P, p.dy + h * p.headdim, p.dy_stride, p.headdim, by);
  }

  // C B^T, which the heads of a group share
  void multiply_CB(int64_t group) {
    gather_B(group);
    gather_C(group);
    transpose(Bt, B, Q, p.N);
    lower_tiles(count, [&](auto tile, int64_t i, int64_t j) INLINED {
      tile.add(C + i * p.N, p.N, 1, Bt + j, Q, p.state);
      tile.each([&](int r, int v, Vec &value) INLINED { store(CB + (i + r) * Q + j + v * W, value); });
    });
  }

  // The decays of head h. A step that decays by more than e^-104 leaves nothing in float32.
  void decay(int64_t h) {
    double c = 0;
    for (int64_t i = 0; i < Q; ++i) {
      step[i] = i < count ? p.dt[token[i] * p.dt_stride + h] : 0.f;
      const double a = double(step[i]) * p.A[h];
      c += a < -104. ? -104. : a;
      sum[i] = c;
      high[i] = float(c);
      low[i] = float(c - high[i]);
    }
    for (int64_t i = 0; i < Q; ++i) to_end[i] = float(c - sum[i]);
    for (int64_t i = 0; i < Q; i += W) {
      store(from_start + i, exponential(load(high + i)));
      store(to_end + i, exponential(load(to_end + i)));
    }
    kept = from_start[count - 1];
  }

  // M and, backward, L_ij = e^(c_i - c_j); zeros above the diagonal
  template <bool with_L> void weigh() {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j <= (i | (BLOCK - 1)); j += W) {
        const int64_t at = i * Q + j;
        const Ints past = lanes() <= int32_t(i - j);
        const Vec e = exponential((high[i] - load(high + j)) + (low[i] - load(low + j)));
        store(M + at, keep(past, load(CB + at) * e));
        if (with_L) store(L + at, keep(past, e));
      }
  }

  void outputs(int64_t h, const float *state) {
    const float skip = p.D ? p.D[h] : 0.f;
    tiles(0, count, p.P, [&](auto tile, int64_t i, int64_t j) INLINED {
      if (state) {
        tile.add(C + i * p.N, p.N, 1, state + j, p.P, p.state);
        tile.scale_rows(from_start + i);
      }
      tile.add(M + i * Q, Q, 1, u + j, p.P, i + tile.height);
      tile.each([&](int r, int v, Vec &value) INLINED {
        const int64_t at = h * p.headdim + j + v * W, left = p.headdim - j - v * W;
        const Vec x = load(p.x + token[i + r] * p.x_stride + at, left);
        store(p.y + token[i + r] * p.heads * p.headdim + at, p.D ? value + skip * x : value, left);
      });
    });
  }

  // after = e^(c_Q) before + left^T right; no `before` stands for zeros
  void carry(float *after, const float *before, const float *left, const float *right) const {
    tiles(0, p.state, p.P, [&](auto tile, int64_t n, int64_t j) INLINED {
      tile.add(left + n, 1, p.N, right + j, p.P, count);
      tile.each([&](int r, int v, Vec &value) INLINED {
        const int64_t at = (n + r) * p.P + j + v * W;
        store(after + at, before ? value + kept * load(before + at) : value);
      });
    });
  }
  void carry_state(float *after, const float *before) {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < p.P; j += W) store(v + i * p.P + j, to_end[i] * load(u + i * p.P + j));
    carry(after, before, B, v);
  }

  void clear_gradients() {
    transpose(Ct, C, Q, p.N);
    memset(dCB, 0, Q * Q * sizeof(float));
    for (float *each : {dBt, dCt}) memset(each, 0, Q * p.N * sizeof(float));
  }

  // One head, given the state before and the gradient of the state after: all but dB and dC, of
  // which it adds its share.
  void backward_head(int64_t h, const float *state, const float *dstate, double *dA, double *dD) {
    gather_u(h);
    gather_g(h);
    transpose(ut, u, Q, p.P);
    transpose(gt, g, Q, p.P);
    for (float *each : {M_column, from_C, from_B}) memset(each, 0, Q * sizeof(float));
    for (float *each : {M_rows, x_rows}) memset(each, 0, Q * W * sizeof(float));
    backward_x(h, dstate, dD);
    backward_M();
    if (state) backward_rows(dCt, from_C, state, gt, from_start, Ct);
    if (dstate) backward_rows(dBt, from_B, dstate, ut, to_end, Bt);
    Vec common{};
    if (state && dstate)
      for (int64_t i = 0; i < p.state_floats; i += W) common += load(state + i) * load(dstate + i);
    backward_decay(h, kept * total(common), dA);
  }

  // du, dx and dD
  void backward_x(int64_t h, const float *dstate, double *dD) {
    const float skip = p.D ? p.D[h] : 0.f;
    Vec skipped{};
    tiles(0, count, p.P, [&](auto tile, int64_t i, int64_t j) INLINED {
      if (dstate) {
        tile.add(B + i * p.N, p.N, 1, dstate + j, p.P, p.state);
        tile.scale_rows(to_end + i);
      }
      tile.add(M + i * Q + i, 1, Q, g + i * p.P + j, p.P, count - i);
      tile.each([&](int r, int v, Vec &du) INLINED {
        const int64_t at = h * p.headdim + j + v * W, left = p.headdim - j - v * W;
        const Vec x = load(p.x + token[i + r] * p.x_stride + at, left);
        const Vec dy = load(g + (i + r) * p.P + j + v * W);
        store(p.dx + token[i + r] * p.heads * p.headdim + at, step[i + r] * du + skip * dy, left);
        skipped += x * dy;
        du *= x;
      });
      tile.row_sums([&](int r, Vec x_du) INLINED { increase(x_rows + (i + r) * W, x_du); });
    });
    *dD += total(skipped);
  }

  // Through M to C B^T and to the decays between tokens
  void backward_M() {
    lower_tiles(count, [&](auto tile, int64_t i, int64_t j) INLINED {
      tile.add(g + i * p.P, p.P, 1, ut + j, Q, p.headdim);
      tile.each([&](int r, int v, Vec &value) INLINED {
        const int64_t at = (i + r) * Q + j + v * W;
        const Vec d = value * load(L + at);
        increase(dCB + at, d);
        value = keep(lanes() < int32_t(i + r - j - v * W), d * load(CB + at));
      });
      tile.row_sums([&](int r, Vec sum) INLINED { increase(M_rows + (i + r) * W, sum); });
      tile.column_sums([&](int v, Vec sum) INLINED { increase(M_column + j + v * W, sum); });
    });
  }

  // sums += by * state right, and dots_i += the new part . rows_i
  void backward_rows(float *sums, float *dots, const float *state, const float *right,
                     const float *by, const float *rows) const {
    tiles(0, p.state, Q, [&](auto tile, int64_t n, int64_t j) INLINED {
      tile.add(state + n * p.P, p.P, 1, right + j, Q, p.headdim);
      tile.each([&](int r, int v, Vec &value) INLINED {
        const int64_t at = (n + r) * Q + j + v * W;
        value *= load(by + j + v * W);
        increase(sums + at, value);
        value *= load(rows + at);
      });
      tile.column_sums([&](int v, Vec sum) INLINED { increase(dots + j + v * W, sum); });
    });
  }

  // da_t gathers what passes token t: pairs j < t <= i, the state to i >= t, j < t to the state
  void backward_decay(int64_t h, double through, double *dA) {
    sum_lanes(M_row, M_rows, Q);
    sum_lanes(x_du, x_rows, Q);
    double later = 0;
    for (int64_t i = count - 1; i >= 0; --i) {
      later += double(M_row[i]) - M_column[i] + from_C[i];
      sum[i] = later;
    }
    for (int64_t i = 0; i < count; ++i) {
      const double da = sum[i] + through;
      p.ddt[token[i] * p.heads + h] = float(da * p.A[h] + x_du[i]);
      *dA += da * step[i];
      through += from_B[i];
    }
  }

  // dB and dC, complete once every head of the group has added its share
  void store_group(int64_t group) {
    transpose(turned, dCt, p.N, Q);
    tiles(0, count, p.N, [&](auto tile, int64_t i, int64_t j) INLINED {
      tile.add(dCB + i * Q, Q, 1, B + j, p.N, i + tile.height);
      store_rows(p.dC, group, tile, i, j);
    });
    transpose(turned, dBt, p.N, Q);
    tiles(0, count, p.N, [&](auto tile, int64_t i, int64_t j) INLINED {
      tile.add(dCB + i * Q + i, 1, Q, C + i * p.N + j, p.N, count - i);
      store_rows(p.dB, group, tile, i, j);
    });
  }
  template <class T> INLINE void store_rows(float *to, int64_t group, T &tile, int64_t i, int64_t j) {
    tile.each([&](int r, int v, Vec &value) INLINED {
      const int64_t column = j + v * W;
      store(to + (token[i + r] * p.groups + group) * p.state + column,
            value + load(turned + (i + r) * p.N + column), p.state - column);
    });
  }
};

// Heads [first, last) of one group through a whole sequence; `work` has room for their states.
void forward_heads(const Plan &p, Segment &s, float *work, int64_t sequence, int64_t first,
                   int64_t last) {
  const bool in_place = p.P == p.headdim;
  auto initial = [&](int64_t h) { return p.initial ? p.initial + p.state_at(sequence, h) : nullptr; };
  auto running = [&](int64_t h) {
    return in_place ? p.final + p.state_at(sequence, h) : work + (h - first) * p.state_floats;
  };
  if (p.saved || !in_place)
    for (int64_t h = first; h < last; ++h)
      pad_state(p, p.saved ? p.saved_state(sequence, 0, h) : running(h), initial(h));
  for (int64_t t = 0, end; t < p.length; t = end) {
    const int64_t c = t / p.chunk;
    end = p.segment_end(sequence, t);
    s.locate(sequence, t, end);
    s.multiply_CB(first / (p.heads / p.groups));
    const bool empty = p.starts_empty(sequence, t);
    const bool save = p.saved && end < p.length && end == p.chunk_end(c);
    for (int64_t h = first; h < last; ++h) {
      s.decay(h);
      s.weigh<false>();
      s.gather_u(h);
      const float *before = p.saved && t == c * p.chunk ? p.saved_state(sequence, c, h)
                            : t == 0 && in_place        ? initial(h)
                                                        : running(h);
      s.outputs(h, empty ? nullptr : before);
      s.carry_state(save ? p.saved_state(sequence, c + 1, h) : running(h), empty ? nullptr : before);
    }
  }
  if (!in_place)
    for (int64_t h = first; h < last; ++h)
      unpad_state(p, p.final + p.state_at(sequence, h), running(h));
}

// Chunks [first, last) of some heads of a group, backwards: slots(h)[k] becomes the gradient of
// the state before chunk first + k; slots(h)[0] still holds that of the chunks after.
template <class Slots>
void pass_gradients(const Plan &p, Segment &s, Slots slots, int64_t sequence, int64_t first_head,
                    int64_t last_head, int64_t first, int64_t last) {
  auto slot = [&](int64_t h, int64_t c) { return slots(h) + (c - first) * p.state_floats; };
  for (int64_t h = first_head; h < last_head; ++h)
    if (last < p.chunks)
      memcpy(slot(h, last), slots(h), p.state_floats * sizeof(float));
    else
      pad_state(p, slot(h, last), p.dfinal ? p.dfinal + p.state_at(sequence, h) : nullptr);
  for (int64_t end = p.chunk_end(last - 1), t; end > first * p.chunk; end = t) {
    t = p.segment_begin(sequence, end);
    const int64_t c = t / p.chunk;
    s.locate(sequence, t, end);
    s.gather_C(first_head / (p.heads / p.groups));
    for (int64_t h = first_head; h < last_head; ++h) {
      s.decay(h);
      s.gather_g(h, s.from_start);
      s.carry(slot(h, c), slot(h, end == p.chunk_end(c) ? c + 1 : c), s.C, s.g);
      if (p.resets(sequence, t)) memset(slot(h, c), 0, p.state_floats * sizeof(float));
    }
  }
  if (first == 0 && p.dinitial)
    for (int64_t h = first_head; h < last_head; ++h)
      unpad_state(p, p.dinitial + p.state_at(sequence, h), slots(h));
}

// One chunk of one group. after(h) is the gradient of the state after it; dA and dD are [heads].
template <class After>
void backward_chunk(const Plan &p, Segment &s, After after, int64_t sequence, int64_t c,
                    int64_t group, double *dA, double *dD) {
  const int64_t share = p.heads / p.groups;
  for (int64_t t = c * p.chunk, end; t < p.chunk_end(c); t = end) {
    end = p.segment_end(sequence, t);
    s.locate(sequence, t, end);
    s.multiply_CB(group);
    s.clear_gradients();
    for (int64_t h = group * share; h < (group + 1) * share; ++h) {
      s.decay(h);
      s.weigh<true>();
      s.backward_head(h, p.starts_empty(sequence, t) ? nullptr : p.saved_state(sequence, c, h),
                      end == p.chunk_end(c) ? after(h) : nullptr, dA + h, dD + h);
    }
    s.store_group(group);
  }
}

int thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

struct Free {
  void operator()(void *memory) const { free(memory); }
};

// Memory that is new to the process comes page by page, which costs as much as the arithmetic on
// it: ask for huge pages.
void use_huge_pages(float *memory, int64_t floats) {
#ifdef __linux__
  constexpr uintptr_t huge = 1 << 21, page = 4096;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(memory + floats);
  if (memory && begin + 2 * huge < end)
    madvise(reinterpret_cast<void *>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

std::unique_ptr<float, Free> allocate(int64_t floats) {
  auto memory = static_cast<float *>(std::aligned_alloc(64, padded(floats) * sizeof(float)));
  use_huge_pages(memory, floats);
  return std::unique_ptr<float, Free>(memory);
}

// How many parts to cut a group's heads into, so that the threads get equal shares.
int64_t head_splits(const Plan &p, int64_t sequences) {
  const int64_t share = p.heads / p.groups;
  for (int64_t splits = 1; splits < share; ++splits) {
    const int64_t items = sequences * p.groups * splits;
    const int64_t rounds = (items + p.threads - 1) / p.threads;
    if (share % splits == 0 && 10 * rounds * p.threads <= 11 * items) return splits;
  }
  return share;
}

}  // namespace

// Both return 0, or 1 where memory ran out.
EXPORT int block_scan_forward(const Problem *problem) {
  const Plan p(*problem);
  const int64_t splits = head_splits(p, p.sequences), share = p.heads / p.groups / splits;
  const int64_t items = p.sequences * p.groups * splits;
  const int64_t segment_floats = Segment::floats(p, false);
  const int64_t thread_floats = padded(segment_floats + share * p.state_floats);
  auto memory = allocate(p.threads * thread_floats);
  if (!memory) return 1;
  use_huge_pages(p.y, p.sequences * p.length * p.heads * p.headdim);
  use_huge_pages(p.final, p.sequences * p.heads * p.state * p.headdim);
  use_huge_pages(p.saved, p.sequences * p.chunks * p.heads * p.state_floats);
#pragma omp parallel num_threads(p.threads) if (p.threads > 1)
  {
    float *mine = memory.get() + thread_number() * thread_floats;
    Segment segment(p, mine, false);
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < items; ++item) {
      const int64_t first = item % (p.groups * splits) * share;
      forward_heads(p, segment, mine + segment_floats, item / (p.groups * splits), first,
                    first + share);
    }
  }
  return 0;
}

// Sequences and chunks pass in windows whose gradients of states fit into the cache: first each
// head's states, one chunk after another, then all else, every chunk apart.
EXPORT int block_scan_backward(const Problem *problem) {
  const Plan p(*problem);
  const int64_t fitting = p.threads * (1 << 19) / (p.heads * p.state_floats) + 1;
  const int64_t at_least = std::min(p.sequences, (p.threads + p.heads - 1) / p.heads);
  const int64_t window = std::min(p.chunks, std::max<int64_t>(1, fitting / at_least));
  const int64_t together = std::min(p.sequences, std::max(at_least, fitting / window));
  const int64_t splits = head_splits(p, together), share = p.heads / p.groups / splits;
  const int64_t slots_floats = (window + 1) * p.state_floats;
  const int64_t thread_floats = padded(Segment::floats(p, true));
  const int64_t parts = p.sequences * p.chunks * p.heads;
  auto memory = allocate(p.threads * thread_floats);
  auto slots = allocate(together * p.heads * slots_floats);
  std::unique_ptr<double, Free> dA(static_cast<double *>(calloc(parts, sizeof(double))));
  std::unique_ptr<double, Free> dD(static_cast<double *>(calloc(parts, sizeof(double))));
  if (!memory || !slots || !dA || !dD) return 1;
  use_huge_pages(p.dx, p.sequences * p.length * p.heads * p.headdim);
  use_huge_pages(p.dB, p.sequences * p.length * p.groups * p.state);
  use_huge_pages(p.dC, p.sequences * p.length * p.groups * p.state);
#pragma omp parallel num_threads(p.threads) if (p.threads > 1)
  {
    Segment segment(p, memory.get() + thread_number() * thread_floats, true);
    auto slots_of = [&](int64_t sequence, int64_t h) {
      return slots.get() + (sequence % together * p.heads + h) * slots_floats;
    };
    for (int64_t from = 0; from < p.sequences; from += together)
      for (int64_t last = p.chunks; last > 0; last -= window) {
        const int64_t first = std::max<int64_t>(0, last - window), chunks = last - first;
        const int64_t sequences = std::min(together, p.sequences - from);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < sequences * p.groups * splits; ++item) {
          const int64_t sequence = from + item / (p.groups * splits);
          const int64_t head = item % (p.groups * splits) * share;
          auto slots = [&](int64_t h) { return slots_of(sequence, h); };
          pass_gradients(p, segment, slots, sequence, head, head + share, first, last);
        }
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < sequences * chunks * p.groups; ++item) {
          const int64_t group = item % p.groups, c = first + item / p.groups % chunks;
          const int64_t sequence = from + item / (p.groups * chunks);
          const int64_t part = (sequence * p.chunks + c) * p.heads;
          auto after = [&](int64_t h) {
            return slots_of(sequence, h) + (c - first + 1) * p.state_floats;
          };
          backward_chunk(p, segment, after, sequence, c, group, dA.get() + part, dD.get() + part);
        }
      }
  }
  for (int64_t h = 0; h < p.heads; ++h) {
    double A_sum = 0, D_sum = 0;
    for (int64_t part = h; part < parts; part += p.heads) {
      A_sum += dA.get()[part];
      D_sum += dD.get()[part];
    }
    p.dA[h] = float(A_sum);
    if (p.dD) p.dD[h] = float(D_sum);
  }
  return 0;
}

EXPORT int block_scan_has_threads() {
#ifdef _OPENMP
  return 1;
#else
  return 0;
#endif
}
