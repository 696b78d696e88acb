// Vectors, transposes and register tiles of the native scan, for any CPU that GCC or Clang know.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#define INLINE inline __attribute__((always_inline))
#define INLINED __attribute__((always_inline))

namespace {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int SUMS = 16;  // of the 32 vector registers
#else
constexpr int SUMS = 8;  // of 16
#endif
constexpr int BLOCK = 16;  // rows and columns are padded to whole blocks

typedef float Vec __attribute__((vector_size(4 * W)));
typedef int32_t Ints __attribute__((vector_size(4 * W)));
typedef float Loose __attribute__((vector_size(4 * W), aligned(4), may_alias));

INLINE Vec load(const float *from) { return *reinterpret_cast<const Loose *>(from); }
INLINE void store(float *to, Vec v) { *reinterpret_cast<Loose *>(to) = v; }
// GCC would read memory again for every use instead of keeping a register.
INLINE Vec load_once(const float *from) {
  Vec v = load(from);
#if defined(__x86_64__) && !defined(__clang__)
  asm("" : "+v"(v));
#endif
  return v;
}
INLINE void increase(float *at, Vec by) { store(at, load(at) + by); }
INLINE Vec keep(Ints mask, Vec v) { return Vec(mask & Ints(v)); }
INLINE Vec choose(Ints mask, Vec yes, Vec no) {
  return Vec((mask & Ints(yes)) | (~mask & Ints(no)));
}
INLINE int64_t padded(int64_t n) { return (n + BLOCK - 1) / BLOCK * BLOCK; }

// Only the first `count` numbers, where a row ends inside a vector.
INLINE Vec load(const float *from, int64_t count) {
  if (count >= W) return load(from);
  Vec v{};
  if (count > 0) memcpy(&v, from, count * sizeof(float));
  return v;
}
INLINE void store(float *to, Vec v, int64_t count) {
  if (count >= W) return store(to, v);
  if (count > 0) memcpy(to, &v, count * sizeof(float));
}

template <size_t... I> INLINE Ints counting(std::index_sequence<I...>) { return Ints{int(I)...}; }
template <size_t... I> INLINE Vec all(float value, std::index_sequence<I...>) {
  return Vec{(void(I), value)...};
}
INLINE Vec all(float value) { return all(value, std::make_index_sequence<W>{}); }
INLINE Ints lanes() { return counting(std::make_index_sequence<W>{}); }

// e^x for x <= 0 (above, as for 0); 0 where float32 has no normal number; NaN stays NaN.
INLINE Vec exponential(Vec x) {
  const Vec shift = all(12582912.f);  // 1.5 * 2^23: the sum's last bits are the nearest integer
  x = choose(x > 0.f, Vec{}, x);
  const Ints vanishes = x < -87.f;
  x = choose(vanishes, all(-87.f), x);
  const Vec shifted = x * 1.44269504f + shift, n = shifted - shift;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = r * (1.f / 5040) + 1.f / 720;
  p = p * r + 1.f / 120;
  p = p * r + 1.f / 24;
  p = p * r + 1.f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.f;
  return keep(~vanishes, p * Vec((Ints(shifted) << 23) + 0x3f800000));
}

template <size_t... I> INLINE Vec interleave(Vec a, Vec b, int from, std::index_sequence<I...>) {
#ifdef __clang__
  return from ? __builtin_shufflevector(a, b, int(I % 2 * W + I / 2 + W / 2)...)
              : __builtin_shufflevector(a, b, int(I % 2 * W + I / 2)...);
#else
  return __builtin_shuffle(a, b, Ints{int(I % 2 * W + I / 2)...} + from);
#endif
}

// Interleaving the first half of the rows with the second, log2(W) times, transposes them.
INLINE void transpose(Vec (&rows)[W]) {
  constexpr std::make_index_sequence<W> lane{};
#pragma GCC unroll 4
  for (int step = 1; step < W; step *= 2) {
    Vec next[W];
#pragma GCC unroll 16
    for (int i = 0; i < W / 2; ++i) {
      next[2 * i] = interleave(rows[i], rows[i + W / 2], 0, lane);
      next[2 * i + 1] = interleave(rows[i], rows[i + W / 2], W / 2, lane);
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) rows[i] = next[i];
  }
}

// to [columns, rows] = from [rows, columns]^T; both counts are whole blocks.
void transpose(float *to, const float *from, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i += W)
    for (int64_t j = 0; j < columns; j += W) {
      Vec block[W];
#pragma GCC unroll 16
      for (int k = 0; k < W; ++k) block[k] = load(from + (i + k) * columns + j);
      transpose(block);
#pragma GCC unroll 16
      for (int k = 0; k < W; ++k) store(to + (j + k) * rows + i, block[k]);
    }
}

INLINE float total(Vec v) {
  float sum = 0;
  for (int k = 0; k < W; ++k) sum += v[k];
  return sum;
}

// to [rows] = the sums over from [rows, W].
void sum_lanes(float *to, const float *from, int64_t rows) {
  for (int64_t i = 0; i < rows; i += W) {
    Vec block[W], sum{};
#pragma GCC unroll 16
    for (int k = 0; k < W; ++k) block[k] = load(from + (i + k) * W);
    transpose(block);
#pragma GCC unroll 16
    for (int k = 0; k < W; ++k) sum += block[k];
    store(to + i, sum);
  }
}

// R rows and V vectors of columns of a matrix product, in registers.
template <int R, int V> struct Tile {
  static constexpr int height = R;
  Vec sum[R][V] = {};

  // sum += left [R, count] right [count, V]
  INLINE void add(const float *left, int64_t row, int64_t step, const float *right, int64_t width,
                  int64_t count) {
    for (int64_t k = 0; k < count; ++k, left += step, right += width) {
      Vec b[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) b[v] = load_once(right + v * W);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec a = all(left[r * row]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[r][v] += a * b[v];
      }
    }
  }

  INLINE void scale_rows(const float *by) {
    each([&](int r, int, Vec &value) INLINED { value *= by[r]; });
  }

  // row(r, the sum over v) and column(v, the sum over r)
  template <class Row> INLINE void row_sums(Row row) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      Vec total = sum[r][0];
#pragma GCC unroll 4
      for (int v = 1; v < V; ++v) total += sum[r][v];
      row(r, total);
    }
  }
  template <class Column> INLINE void column_sums(Column column) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Vec total = sum[0][v];
#pragma GCC unroll 8
      for (int r = 1; r < R; ++r) total += sum[r][v];
      column(v, total);
    }
  }

  template <class Body> INLINE void each(Body body) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) body(r, v, sum[r][v]);
  }
};

// Call body(tile, i, j) for tiles that cover rows [begin, end) and `columns` columns.
template <int V, class Body> INLINE void strip(int64_t begin, int64_t end, int64_t j, Body body) {
  constexpr int R = SUMS / V < 8 ? SUMS / V : 8;
  int64_t i = begin;
  for (; i + R <= end; i += R) body(Tile<R, V>{}, i, j);
  if constexpr (R > 4)
    for (; i + 4 <= end; i += 4) body(Tile<4, V>{}, i, j);
  for (; i < end; ++i) body(Tile<1, V>{}, i, j);
}
template <class Body> INLINE void tiles(int64_t begin, int64_t end, int64_t columns, Body body) {
  int64_t j = 0;
  if constexpr (SUMS >= 16)
    for (; j + 4 * W <= columns; j += 4 * W) strip<4>(begin, end, j, body);
  for (; j + 2 * W <= columns; j += 2 * W) strip<2>(begin, end, j, body);
  for (; j + W <= columns; j += W) strip<1>(begin, end, j, body);
}
// The same for the blocks of a square on and below its diagonal.
template <class Body> INLINE void lower_tiles(int64_t rows, Body body) {
  for (int64_t i = 0; i < rows; i += BLOCK)
    tiles(i, i + BLOCK < rows ? i + BLOCK : rows, i + BLOCK, body);
}

}  // namespace
