#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <dream/kernels/dot_products.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_dot_products {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

TEMPLATE_TEST_CASE("Dot products of several pairs agree with plain loops and add up", "", float, double) {
  using T = TestType;
  const auto check = [](MatrixShape s, Layout in, Layout other, int turn) {
    const double beta = turn % 2;
    auto x = KernelMatrix<T>::random(s.rows, s.cols, 11, in), y = KernelMatrix<T>::random(s.rows, s.cols, 12, other);
    auto z = KernelMatrix<T>::random(7, 5, 13);
    std::vector<double> out(3, beta == 0 ? std::nan("") : 10);
    std::vector<double> workspace(static_cast<std::size_t>(dot_products_workspace(3)), std::nan(""));
    const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      const MatrixView<const T> a = use.input(x.view()), b = use.input(y.view()), c = use.input(z.view());
      dot_products(context, DotProductsArguments<T>{{a, a, c},
                                                    {b, a, c},
                                                    3,
                                                    beta,
                                                    use.output(out.data(), 3),
                                                    use.output(workspace.data(), dot_products_workspace(3))});
    });
    REQUIRE(report.text() == "");
    double expected[] = {0, 0, 0}, size = 0;
    for (index_t i = 0; i < s.rows; ++i)
      for (index_t j = 0; j < s.cols; ++j) {
        expected[0] += x.at(i, j) * y.at(i, j);
        expected[1] += x.at(i, j) * x.at(i, j);
        size += std::abs(x.at(i, j) * y.at(i, j)) + x.at(i, j) * x.at(i, j);
      }
    for (index_t i = 0; i < 7; ++i)
      for (index_t j = 0; j < 5; ++j) expected[2] += z.at(i, j) * z.at(i, j);
    // Sums in double, of at most 8192 terms in two orders.
    const double tolerance = 1e-13 * (size + 100);
    for (std::size_t k = 0; k < 3; ++k) REQUIRE(std::abs(out[k] - expected[k] - (beta == 0 ? 0 : 10)) <= tolerance);
  };
  for_all_shapes(check);
  check({2500, 3}, {}, {}, 0);
}

TEST_CASE("Dot products do not overflow in float, and keep NaN") {
  auto x = KernelMatrix<float>(3, 50);
  x.fill([](auto, auto) { return 1e30; });
  const auto square = [&] {
    Context<Emulated> context;
    std::vector<double> workspace(static_cast<std::size_t>(dot_products_workspace(1)));
    double out = 0;
    DotProductsArguments<float> a{{x.view()}, {x.view()}, 1, 0, &out, workspace.data()};
    dot_products(context, a);
    return out;
  };
  REQUIRE(square() == Approx(150e60));  // exact but for 1e30 in float
  x(2, 49) = std::numeric_limits<float>::quiet_NaN();
  REQUIRE(std::isnan(square()));
}

}  // namespace dream_tests::kernels_dot_products
