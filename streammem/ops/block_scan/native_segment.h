// One chunk of the scan, forward and backward (Mamba-2, arXiv 2405.21060, section 6).
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
#pragma once
#include <utility>

#include "native_plan.h"

namespace {

constexpr double VANISHES = -104.;  // a step of e^-104 leaves nothing in float32

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
      tile.each([&](int r, int v, Vec &value) INLINED {
        store(CB + (i + r) * Q + j + v * W, value);
      });
    });
  }

  // The decays of head h
  void decay(int64_t h) {
    double c = 0;
    for (int64_t i = 0; i < Q; ++i) {
      step[i] = i < count ? p.dt[token[i] * p.dt_stride + h] : 0.f;
      const double a = double(step[i]) * p.A[h];
      c += a < VANISHES ? VANISHES : a;
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
      for (int64_t j = i * p.P; j < (i + 1) * p.P; j += W) store(v + j, to_end[i] * load(u + j));
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
      const double da = double(step[i]) * p.A[h] < VANISHES ? 0. : sum[i] + through;
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
  template <class Sums>
  INLINE void store_rows(float *to, int64_t group, Sums &tile, int64_t i, int64_t j) {
    tile.each([&](int r, int v, Vec &value) INLINED {
      const int64_t column = j + v * W;
      store(to + (token[i + r] * p.groups + group) * p.state + column,
            value + load(turned + (i + r) * p.N + column), p.state - column);
    });
  }
};

}  // namespace
