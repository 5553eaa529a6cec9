#include <cstddef>
#include <vector>

#include <dream/kernels/column_sums.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_column_sums {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

TEMPLATE_TEST_CASE("Column sums agree with plain loops, over several pieces too", "", float, double) {
  using T = TestType;
  const auto check = [](MatrixShape s, Layout layout, int turn) {
    const T beta = turn % 3 == 0 ? T{0} : T{2};
    auto x = KernelMatrix<T>::random(s.rows, s.cols, 8, layout), sums = KernelMatrix<T>(1, s.cols);
    if (beta != T{0}) sums = KernelMatrix<T>::random(1, s.cols, 9);
    const KernelMatrix<T> before = sums;
    KernelMatrix<T> workspace(1, static_cast<index_t>(column_sums_workspace<T>(s.rows, s.cols)));
    const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      column_sums(context, ColumnSumsArguments<T>{T{-0.5}, use.input(x.view()), beta, use.output(sums.vector()),
                                                  use.output(workspace.vector()).data});
    });
    REQUIRE(report.text() == "");
    // Each of n terms, up to 5, is in at most n sums, in a random walk of roundings.
    require_near(
        sums,
        [&](index_t, index_t j) {
          double sum = 0;
          for (index_t i = 0; i < s.rows; ++i) sum += x.at(i, j);
          return -0.5 * sum + (beta == T{0} ? 0 : 2 * before.at(0, j));
        },
        (20 + 5 * s.rows) * rounding<T>);
  };
  for_all_shapes([&](MatrixShape s, Layout in, Layout, int turn) { check(s, in, turn); });
  check({1000, 5}, {}, 0);
  check({33000, 2}, {3, 1}, 1);  // pieces of more than 64 rows
}

TEST_CASE("Column sums have the same bits wherever the matrix lies") {
  auto x = KernelMatrix<float>::random(150, 37, 10), apart = KernelMatrix<float>::random(150, 37, 10, {3, 1});
  const auto sums_of = [](KernelMatrix<float>& m) {
    Context<Emulated> context;
    KernelMatrix<float> sums(1, m.cols());
    std::vector<float> workspace(static_cast<std::size_t>(column_sums_workspace<float>(m.rows(), m.cols())));
    column_sums(context, ColumnSumsArguments<float>{1, m.view(), 0, sums.vector(), workspace.data()});
    return sums;
  };
  const KernelMatrix<float> expected = sums_of(x);
  require_near(
      sums_of(apart), [&](index_t i, index_t j) { return expected.at(i, j); }, 0);
}

}  // namespace dream_tests::kernels_column_sums
