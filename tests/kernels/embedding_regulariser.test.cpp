#include <cmath>
#include <limits>
#include <vector>

#include <dream/kernels/embedding_regulariser.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_embedding_regulariser {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

template <class T>
double square_of(const KernelMatrix<T>& m) {
  double sum = 0;
  for (index_t i = 0; i < m.rows(); ++i)
    for (index_t j = 0; j < m.cols(); ++j) sum += m.at(i, j) * m.at(i, j);
  return sum;
}

/// Forward and backward of some matrices; the second gradient is not wanted.
template <class T>
void check(std::vector<KernelMatrix<T>> x, bool squares, index_t divisor, T beta, Layout out) {
  const int count = static_cast<int>(x.size());
  KernelMatrix<T> loss(1, 1);
  KernelMatrix<double> norms(1, count), workspace(1, static_cast<index_t>(regulariser_forward_workspace(count)));
  const auto forward = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    RegulariserForwardArguments<T> a{{},
                                     count,
                                     squares,
                                     divisor,
                                     use.output(norms.vector()).data,
                                     use.output(loss.view()).data,
                                     use.output(workspace.vector()).data};
    for (int i = 0; i < count; ++i) a.x[i] = use.input(x[static_cast<std::size_t>(i)].view());
    regulariser_forward(context, a);
  });
  REQUIRE(forward.text() == "");
  double expected = 0;
  for (const auto& m : x) expected += (squares ? 0.5 * square_of(m) : std::sqrt(square_of(m))) / divisor;
  // Sums in double, rounded to T.
  REQUIRE(std::abs(loss.at(0, 0) - expected) <= (rounding<T> + 1e-12) * expected);
  require_near(
      norms, [&](auto, index_t i) { return std::sqrt(square_of(x[static_cast<std::size_t>(i)])); },
      1e-12 * (1 + expected * divisor));

  std::vector<KernelMatrix<T>> dx;
  for (const auto& m : x)
    dx.push_back(beta == T{0} ? KernelMatrix<T>(m.rows(), m.cols(), out)
                              : KernelMatrix<T>::random(m.rows(), m.cols(), 20, out));
  const std::vector<KernelMatrix<T>> before = dx;
  T d_loss = T{3};
  const auto backward = check_kernel<RegulariserBackward<T>>([&](KernelBuffers& use) {
    typename RegulariserBackward<T>::Params p{};
    for (int i = 0; i < count; ++i) {
      p.x[i] = use.input(x[static_cast<std::size_t>(i)].view());
      const MatrixView<T> target = use.output(dx[static_cast<std::size_t>(i)].view());
      if (i != 1) p.dx[i] = {target, beta};
    }
    p.count = count;
    p.squares = squares;
    p.divisor = divisor;
    p.norms = use.input(norms.vector()).data;
    p.d_loss = use.input(&d_loss, 1);
    return p;
  });
  REQUIRE(backward.text() == "");
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double norm = std::sqrt(square_of(x[i]));
    const double slope = squares ? 1.0 / divisor : norm == 0 ? 0 : 1 / (norm * divisor);
    // Three products and a sum of numbers below 15.
    require_near(
        dx[i],
        [&](index_t a, index_t j) {
          const double old = before[i].at(a, j);
          if (i == 1) return old;
          return 3 * slope * x[i].at(a, j) + (beta == T{0} ? 0 : static_cast<double>(beta) * old);
        },
        40 * rounding<T>);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("The regulariser of several matrices has the formula's value and gradients, in both forms", "",
                   float, double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes) {
    std::vector<KernelMatrix<T>> x;
    for (int i = 0; i < 1 + turn % 3; ++i)
      x.push_back(KernelMatrix<T>::random(s.rows + i, s.cols, static_cast<std::uint32_t>(i), layouts[(turn + i) % 4]));
    check<T>(x, turn % 2 == 0, turn % 2 == 0 ? 2048 : s.rows + 1, turn % 3 ? T{0} : T{1},
             layouts[(turn / 4 + turn) % 4]);
    ++turn;
  }
}

TEMPLATE_TEST_CASE("A matrix of zeros gets no gradient from its norm", "", float, double) {
  KernelMatrix<TestType> zeros(5, 8);
  zeros.fill([](auto, auto) { return 0; });
  check<TestType>({zeros, KernelMatrix<TestType>::random(5, 8, 1), zeros}, false, 5, TestType{0}, {});
}

TEST_CASE("Eight matrices are regularised at once") {
  std::vector<KernelMatrix<float>> x;
  for (index_t i = 0; i < 8; ++i) x.push_back(KernelMatrix<float>::random(i, 20 + i, static_cast<std::uint32_t>(i)));
  check<float>(x, true, 7, 1, {3, 1});
  check<float>(x, false, 7, 0, {});
}

TEST_CASE("The regulariser keeps NaN, in the loss and in the gradient") {
  for (const bool squares : {true, false}) {
    auto x = KernelMatrix<float>::random(3, 4, 1);
    x(1, 2) = std::nanf("");
    KernelMatrix<float> loss(1, 1), dx(3, 4);
    double norm = 0;
    std::vector<double> workspace(static_cast<std::size_t>(regulariser_forward_workspace(1)));
    Context<Emulated> context;
    regulariser_forward(
        context, RegulariserForwardArguments<float>{{x.view()}, 1, squares, 3, &norm, &loss(0, 0), workspace.data()});
    REQUIRE(std::isnan(loss(0, 0)));
    const float d_loss = 1;
    launch<RegulariserBackward<float>>(context, {{x.view()}, {{dx.view(), 0}}, 1, squares, 3, &norm, &d_loss});
    REQUIRE(std::isnan(dx(1, 2)));
    REQUIRE(std::isnan(dx(0, 0)) == !squares);
  }
}

TEST_CASE("A matrix that is regularised twice gathers both gradients") {
  auto x = KernelMatrix<double>::random(37, 65, 1);
  KernelMatrix<double> dx(37, 65);
  double norms[] = {0, 0}, d_loss = 1;
  const auto report = check_kernel<RegulariserBackward<double>>([&](KernelBuffers& use) {
    const MatrixView<const double> in = use.input(x.view());
    const MatrixView<double> out = use.output(dx.view());
    return RegulariserBackward<double>::Params{
        {in, in}, {{out, 0}, {out, 1}}, 2, true, 4, use.input(norms, 2), use.input(&d_loss, 1)};
  });
  REQUIRE(report.text() == "");
  require_near(
      dx, [&](index_t i, index_t j) { return x.at(i, j) / 2; }, 0);
}

}  // namespace dream_tests::kernels_embedding_regulariser
