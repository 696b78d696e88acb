// The block scan for CPUs in float32: the passes over chunks, and what is shared among threads.
//
// The heads of a group share C B^T. A chunk ends before a frame that resets, so every segment
// starts either where a chunk does or from an empty state. No result depends on the number of
// threads: each number is summed by one thread, in one order.
#include <algorithm>
#include <cstdlib>
#include <memory>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "native_segment.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

// Heads [first, last) of one group through a whole sequence; `work` has room for their states.
void forward_heads(const Plan &p, Segment &s, float *work, int64_t sequence, int64_t first,
                   int64_t last) {
  const bool in_place = p.P == p.headdim;
  auto initial = [&](int64_t h) {
    return p.initial ? p.initial + p.state_at(sequence, h) : nullptr;
  };
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
      const float *before = empty                         ? nullptr
                            : p.saved && t == c * p.chunk ? p.saved_state(sequence, c, h)
                            : t == 0 && in_place          ? initial(h)
                                                          : running(h);
      s.outputs(h, before);
      s.carry_state(save ? p.saved_state(sequence, c + 1, h) : running(h), before);
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
