// Dropout: values set to zero at random, the others scaled so that the mean stays.
//
//   forward    Y = X * K / (1 - rate),  K_ij = 1 with probability 1 - rate, else 0
//   backward   dX = dY * K / (1 - rate) + beta dX                                    (* elementwise): the same kernel
//
// K is not stored: it is drawn again, a pure function of (seed, stream, step) and of the value's place. Four neighbours
// of a row share a block of random words, so a thread takes units of four values, whatever the alignment; 16 bytes are
// loaded at once where rows allow. A thread reads the step from device memory: a captured launch replays with the mask
// of the step that stands there.
//
// Floor: 8 bytes a float (12 with beta), and some 80 integer operations a unit: on an H100 about the time of its bytes.
#pragma once

#include <cstdint>

#include <dream/core/random.hpp>
#include <dream/core/view.hpp>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// Which values dropout keeps, on every backend. Value (row, col) of a matrix with `cols` columns is kept where word
/// col % 4 of block row * ceil(cols / 4) + col / 4 is not below `threshold`.
struct DropoutMask {
  static constexpr int unit = 4;           ///< values that share a block
  static constexpr int stream_shift = 40;  ///< streams are apart for up to 2^42 values
  static constexpr std::uint32_t most_streams = std::uint32_t{1} << (64 - stream_shift);

  std::uint64_t seed = 0;
  std::uint32_t stream = 0;     ///< below most_streams
  std::uint32_t threshold = 0;  ///< rate * 2^32
  std::uint32_t step = 0;
  const std::uint32_t* step_at = nullptr;  ///< where the step stands in the backend's memory; none: `step` is it

  /// The random words of the unit that begins at (row, col), col a multiple of 4.
  DREAM_HOST_DEVICE RandomBlock words(std::uint32_t step_now, std::int64_t row, std::int64_t col,
                                      std::int64_t cols) const {
    const std::int64_t block = row * ((cols + unit - 1) / unit) + col / unit;
    return RandomStream{seed, RandomUse::dropout, step_now}.block((std::uint64_t{stream} << stream_shift) +
                                                                  static_cast<std::uint64_t>(block));
  }
  /// x * scale where it is kept, else 0, whatever x is.
  template <class T>
  DREAM_HOST_DEVICE T apply(std::uint32_t word, T x, T scale) const {
    return word >= threshold ? x * scale : T{0};
  }
};

/// y = the kept values of x times scale, 0 in place of the others, + beta y. y may be x.
template <class T>
struct DropValues {
  static constexpr int threads = Sweep::threads;
  struct Params {
    DropoutMask mask;
    T scale;  ///< 1 / (1 - rate)
    MatrixView<const T> x;
    T beta;
    MatrixView<T> y;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) {
    return {p.y.rows, p.y.cols, takes_packs(p.x) && takes_packs(p.y)};
  }
  static int grid(const Params& p) { return sweep(p).blocks(DropoutMask::unit, Sweep::most_blocks); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    constexpr int unit = DropoutMask::unit, width = pack_width<T>;
    const std::uint32_t step = p.mask.step_at == nullptr ? p.mask.step : th.load_readonly(p.mask.step_at);
    const Sweep all = sweep(p);
    sweep_units<unit>(th, all, th.grid_blocks(), [&](std::int64_t row, std::int64_t col, Width<unit>) {
      const RandomBlock random = p.mask.words(step, row, col, all.cols);
      const auto part = [&]<int N>(int first, Width<N>) {
        Pack<T, N> values = read<N>(th, element(p.x, row, col + first));
        DREAM_UNROLL
        for (int k = 0; k < N; ++k) values[k] = p.mask.apply(random.word[first + k], values[k], p.scale);
        write<N>(th, element(p.y, row, col + first), values, p.beta);
      };
      if (all.packs && col + unit <= all.cols) {
        DREAM_UNROLL
        for (int first = 0; first < unit; first += width) part(first, Width<width>{});
      } else {
        DREAM_UNROLL
        for (int k = 0; k < unit; ++k)
          if (col + k < all.cols) part(k, Width<1>{});
      }
    });
  }
};

}  // namespace dream::kernels
