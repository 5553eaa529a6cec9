#include <cmath>

#include <dream/kernels/dropout.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_dropout {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

/// Whether value (row, col) is kept, from the generator itself.
bool is_kept(const DropoutMask& mask, std::uint32_t step, index_t row, index_t col, index_t cols) {
  const std::uint64_t units = static_cast<std::uint64_t>((cols + 3) / 4);
  const RandomStream random{mask.seed, RandomUse::dropout, step};
  const RandomBlock block = random.block((std::uint64_t{mask.stream} << 40) + static_cast<std::uint64_t>(row) * units +
                                         static_cast<std::uint64_t>(col / 4));
  return block.word[col % 4] >= mask.threshold;
}

constexpr MatrixShape shapes[] = {{0, 5},   {1, 1},     {31, 31},  {32, 32},  {33, 33},  {127, 64}, {128, 128},
                                  {129, 3}, {257, 257}, {3, 1030}, {2, 4099}, {4000, 2}, {5, 0}};

}  // namespace

TEMPLATE_TEST_CASE("Values are kept where the generator's word is not below the threshold, and scaled", "", float,
                   double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : shapes)
    for (int k = 0; k < 2; ++k, ++turn) {
      const Layout in = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
      const T beta = turn % 3 == 0 ? T{0} : T{-0.5};
      DropoutMask mask;
      mask.seed = 17;
      mask.stream = turn % 2 == 0 ? 0u : DropoutMask::most_streams - 1;
      mask.threshold = 0x60000000u;
      mask.step = 4;
      const std::uint32_t step = static_cast<std::uint32_t>(turn);
      const bool reads_step = turn % 4 < 2;
      auto x = KernelMatrix<T>::random(s.rows, s.cols, 1, in);
      KernelMatrix<T> y(s.rows, s.cols, out);
      if (beta != T{0}) y = KernelMatrix<T>::random(s.rows, s.cols, 2, out);
      const KernelMatrix<T> before = y;
      const auto report = check_kernel<DropValues<T>>([&](KernelBuffers& use) {
        DropoutMask here = mask;
        if (reads_step) here.step_at = use.input(&step, 1);
        return typename DropValues<T>::Params{here, T{1.5}, use.input(x.view()), beta, use.output(y.view())};
      });
      REQUIRE(report.text() == "");
      // A product and a sum of numbers below 10.
      require_near(
          y,
          [&](index_t i, index_t j) {
            const double value = is_kept(mask, reads_step ? step : mask.step, i, j, s.cols) ? 1.5 * x.at(i, j) : 0;
            return value + (beta == T{0} ? 0 : -0.5 * before.at(i, j));
          },
          10 * rounding<T>);
    }
}

TEST_CASE("The same place has the same mask in every layout, in place and in float as in double") {
  DropoutMask mask;
  mask.threshold = 0x80000000u;
  KernelMatrix<double> ones(40, 9);
  ones.fill([](auto, auto) { return 1; });
  KernelMatrix<double> expected(40, 9);
  Context<Emulated> context;
  launch<DropValues<double>>(context, {mask, 1, ones.view(), 0, expected.view()});
  for (const Layout& layout : layouts) {
    KernelMatrix<float> x(40, 9, layout);
    x.fill([](auto, auto) { return 1; });
    launch<DropValues<float>>(context, {mask, 1, x.view(), 0, x.view()});
    require_near(
        x, [&](index_t i, index_t j) { return expected.at(i, j); }, 0);
  }
}

TEST_CASE("A word that is the threshold keeps its value") {
  DropoutMask mask;
  mask.threshold = mask.words(0, 0, 0, 1).word[0];
  KernelMatrix<float> x(1, 1), y(1, 1);
  x(0, 0) = 3;
  Context<Emulated> context;
  launch<DropValues<float>>(context, {mask, 2, x.view(), 0, y.view()});
  REQUIRE(y(0, 0) == 6);
  ++mask.threshold;
  launch<DropValues<float>>(context, {mask, 2, x.view(), 0, y.view()});
  REQUIRE(y(0, 0) == 0);
}

TEST_CASE("A threshold of 0 keeps all values, the largest nearly none") {
  KernelMatrix<float> ones(100, 100), y(100, 100);
  ones.fill([](auto, auto) { return 1; });
  Context<Emulated> context;
  DropoutMask mask;
  launch<DropValues<float>>(context, {mask, 2, ones.view(), 0, y.view()});
  require_near(
      y, [](auto, auto) { return 2; }, 0);
  mask.threshold = 0xffffffffu;
  launch<DropValues<float>>(context, {mask, 2, ones.view(), 0, y.view()});
  require_near(
      y, [](auto, auto) { return 0; }, 0);  // one of 2^32 is kept
}

}  // namespace dream_tests::kernels_dropout
