#include <cmath>
#include <vector>

#include <dream/kernels/adam.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_adam {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

template <class T>
AdamScalars<T> scalars_of(std::int64_t t, double learning_rate = 0.01) {
  const double n = static_cast<double>(t);
  return {T{0.9f},
          T{0.999f},
          T{1e-8f},
          static_cast<T>(learning_rate / (1 - std::pow(0.9, n))),
          static_cast<T>(1 / std::sqrt(1 - std::pow(0.999, n))),
          0};
}

/// Values and moments of a matrix before a step.
template <class T>
struct Moments {
  KernelMatrix<T> p, m, v;

  Moments(index_t rows, index_t cols, Layout first, Layout second)
      : p(KernelMatrix<T>::random(rows, cols, 1, first)),
        m(KernelMatrix<T>::random(rows, cols, 2, second, 0.1)),
        v(KernelMatrix<T>::random(rows, cols, 3, second)) {
    v.fill([&](index_t i, index_t j) { return 0.01 + v.at(i, j) * v.at(i, j); });
  }
};

/// After one step with the gradient g(i, j), which is exact to `error`.
template <class T, class Gradient>
void require_updated(const Moments<T>& found, const Moments<T>& before, const AdamScalars<T>& s, Gradient&& g,
                     double error) {
  const double b1 = static_cast<double>(s.beta1), b2 = static_cast<double>(s.beta2);
  const auto m = [&](index_t i, index_t j) { return b1 * before.m.at(i, j) + (1 - b1) * g(i, j); };
  const auto v = [&](index_t i, index_t j) { return b2 * before.v.at(i, j) + (1 - b2) * g(i, j) * g(i, j); };
  const double size = 5, root = static_cast<double>(s.root_correction), step = static_cast<double>(s.step_size);
  const auto p = [&](index_t i, index_t j) {
    return before.p.at(i, j) - step * m(i, j) / (std::sqrt(v(i, j)) * root + static_cast<double>(s.epsilon));
  };
  const double scale = 1 + error / rounding<T>;
  // Some five roundings of numbers of size 5 to 25. v is at least 0.01, so that p takes ten times the error of m, and
  // of v, times the step; 1 - b is rounded before it multiplies.
  require_near(found.m, m, [&](index_t i, index_t j) { return rounding<T> * (size + std::abs(g(i, j)) + scale); });
  require_near(found.v, v, [&](index_t i, index_t j) {
    return rounding<T> * (size * size + g(i, j) * g(i, j) + scale * (1 + std::abs(g(i, j))));
  });
  require_near(found.p, p, [&](index_t i, index_t j) {
    return rounding<T> * (2 * size + 100 * step * (size + std::abs(g(i, j)) + scale));
  });
}

/// A step of a flat buffer of `size` values that begin `offset` values behind a multiple of 64 bytes.
template <class T>
void check_flat(index_t size, Layout first, Layout second) {
  const AdamScalars<T> s = scalars_of<T>(7);
  AdamScalars<T> in_memory = s;
  Moments<T> x(1, size, first, second);
  const Moments<T> before = x;
  auto g = KernelMatrix<T>::random(1, size, 4, first);
  const auto report = check_kernel<AdamUpdate<T>>([&](KernelBuffers& use) {
    return typename AdamUpdate<T>::Params{use.input(&in_memory, 1), use.input(g.vector()), use.output(x.p.vector()),
                                          use.output(x.m.vector()), use.output(x.v.vector())};
  });
  REQUIRE(report.text() == "");
  require_updated(
      x, before, s, [&](index_t i, index_t j) { return g.at(i, j); }, 0);
}

template <class T>
void check_factored(MatrixShape shape, index_t factors, Layout first, Layout second) {
  const AdamScalars<T> s = scalars_of<T>(3);
  AdamScalars<T> in_memory = s;
  Moments<T> x(shape.rows, shape.cols, first, second);
  const Moments<T> before = x;
  auto left = KernelMatrix<T>::random(shape.rows, factors, 5, second);
  auto right = KernelMatrix<T>::random(shape.cols, factors, 6, first);
  const auto report = check_kernel<AdamUpdateFactored<T>>([&](KernelBuffers& use) {
    return typename AdamUpdateFactored<T>::Params{use.input(&in_memory, 1), use.input(left.view()),
                                                  use.input(right.view()),  use.output(x.p.view()),
                                                  use.output(x.m.view()),   use.output(x.v.view())};
  });
  REQUIRE(report.text() == "");
  const auto gradient = [&](index_t i, index_t j) {
    double sum = 0;
    for (index_t k = 0; k < factors; ++k) sum += left.at(i, k) * right.at(j, k);
    return sum;
  };
  // A sum of `factors` products of size 1, whose roundings walk at random.
  require_updated(x, before, s, gradient, rounding<T> * (4 + factors));
}

}  // namespace

TEMPLATE_TEST_CASE("A step of Adam over a flat buffer is that of the formula", "", float, double) {
  for (const index_t size : dream_test::sizes({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257, 1024, 5003})) {
    check_flat<TestType>(size, {}, {});
    check_flat<TestType>(size, {0, 1}, {});
    check_flat<TestType>(size, {0, 3}, {0, 2});
  }
}

TEMPLATE_TEST_CASE("A step of Adam with a factored gradient is that of the formula", "", float, double) {
  const index_t factors[] = {64, 1, 3, 16, 17, 31, 33, 100};
  std::size_t turn = 0;
  for (const MatrixShape& s : matrix_shapes) {
    check_factored<TestType>(s, factors[turn % 8], layouts[turn % 4], layouts[(turn / 4 + turn) % 4]);
    ++turn;
  }
  check_factored<TestType>({65, 129}, 64, {}, {});
  check_factored<TestType>({64, 64}, 0, {}, {});
}

TEST_CASE("A factored gradient gives the same bits as that gradient in memory") {
  // Small integers: every sum is exact.
  const index_t rows = 70, cols = 90, factors = 20;
  KernelMatrix<float> left(rows, factors), right(cols, factors), g(rows, cols);
  left.fill([](index_t i, index_t k) { return (i + k) % 5 - 2; });
  right.fill([](index_t j, index_t k) { return (j * k) % 7 - 3; });
  g.fill([&](index_t i, index_t j) {
    double sum = 0;
    for (index_t k = 0; k < factors; ++k) sum += left.at(i, k) * right.at(j, k);
    return sum;
  });
  Moments<float> factored(rows, cols, {}, {}), flat = factored;
  const AdamScalars<float> s = scalars_of<float>(1);
  Context<Emulated> context;
  launch<AdamUpdateFactored<float>>(
      context, {&s, left.view(), right.view(), factored.p.view(), factored.m.view(), factored.v.view()});
  launch<AdamUpdate<float>>(context, {&s, g.vector(), flat.p.vector(), flat.m.vector(), flat.v.vector()});
  const auto same = [](const KernelMatrix<float>& a, const KernelMatrix<float>& b) {
    require_near(
        a, [&](index_t i, index_t j) { return b.at(i, j); }, 0);
  };
  same(factored.p, flat.p);
  same(factored.m, flat.m);
  same(factored.v, flat.v);
}

TEMPLATE_TEST_CASE("The scalars of a step come from its number on the device", "", float, double) {
  using T = TestType;
  for (const std::int64_t done : dream_test::sizes<std::int64_t>({1, 9}, {0, 1, 9, 999, 1000000})) {
    std::int64_t steps = done;
    double learning_rate = 0.003;
    AdamScalars<T> s{};
    const auto report = check_kernel<AdvanceAdam<T>>([&](KernelBuffers& use) {
      return typename AdvanceAdam<T>::Params{
          0.9, 0.999, 1e-8, use.input(&learning_rate, 1), use.output(&steps, 1), nullptr, use.output(&s, 1)};
    });
    REQUIRE(report.text() == "");
    REQUIRE(steps == done + 1);
    const AdamScalars<T> expected = scalars_of<T>(done + 1, 0.003);
    REQUIRE(s.beta1 == static_cast<T>(0.9));
    REQUIRE(s.beta2 == static_cast<T>(0.999));
    REQUIRE(s.epsilon == static_cast<T>(1e-8));
    REQUIRE(s.skip == 0);
    // 1 - b^t in double loses three digits at the first steps.
    REQUIRE(s.step_size == Approx(static_cast<double>(expected.step_size)).epsilon(rounding<T> + 1e-12));
    REQUIRE(s.root_correction == Approx(static_cast<double>(expected.root_correction)).epsilon(rounding<T> + 1e-12));
  }
}

TEST_CASE("A step that is stopped is not counted and changes nothing") {
  std::int64_t steps = 4;
  std::int32_t stop = 2;
  const double learning_rate = 0.1;
  AdamScalars<float> s = scalars_of<float>(4);
  Moments<float> x(1, 100, {}, {}), large(30, 40, {}, {});
  const Moments<float> before = x, large_before = large;
  auto g = KernelMatrix<float>::random(1, 100, 4), left = KernelMatrix<float>::random(30, 8, 5),
       right = KernelMatrix<float>::random(40, 8, 6);
  Context<Emulated> context;
  const auto step = [&] {
    launch<AdvanceAdam<float>>(context, {0.9, 0.999, 1e-8, &learning_rate, &steps, &stop, &s});
    launch<AdamUpdateFactored<float>>(context,
                                      {&s, left.view(), right.view(), large.p.view(), large.m.view(), large.v.view()});
    launch<AdamUpdate<float>>(context, {&s, g.vector(), x.p.vector(), x.m.vector(), x.v.vector()});
  };
  step();
  REQUIRE(steps == 4);
  REQUIRE(x.p(0, 50) == before.p.at(0, 50));
  REQUIRE(x.v(0, 50) == before.v.at(0, 50));
  REQUIRE(large.p(20, 30) == large_before.p.at(20, 30));
  stop = -1;
  step();
  REQUIRE(steps == 5);
  REQUIRE(x.p(0, 50) != before.p.at(0, 50));
  REQUIRE(large.p(20, 30) != large_before.p.at(20, 30));
}

TEST_CASE("Adam on the device finds the minimum of a parabola") {
  std::int64_t steps = 0;
  const double learning_rate = 0.05;
  AdamScalars<double> s{};
  KernelMatrix<double> p(1, 10), g(1, 10), m(1, 10), v(1, 10);
  p.fill([](auto, index_t j) { return j - 4.5; });
  m.fill([](auto, auto) { return 0; });
  v.fill([](auto, auto) { return 0; });
  Context<Emulated> context;
  for (int t = 0; t < 600; ++t) {
    g.fill([&](auto, index_t j) { return p.at(0, j) - 1; });
    launch<AdvanceAdam<double>>(context, {0.9, 0.999, 1e-8, &learning_rate, &steps, nullptr, &s});
    launch<AdamUpdate<double>>(context, {&s, g.vector(), p.vector(), m.vector(), v.vector()});
  }
  // Steps of 0.05 at most, and shrinking: 600 of them reach from 5.5 away.
  require_near(
      p, [](auto, auto) { return 1; }, 0.01);
}

}  // namespace dream_tests::kernels_adam
