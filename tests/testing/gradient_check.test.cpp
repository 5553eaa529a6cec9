#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::testing_gradient_check {

using namespace dream;
using dream_test::random_matrix;

namespace {

/// y = x * w elementwise, and one way to break the contract.
enum class Fault {
  none,
  gradient,
  rare_gradient,
  ignores_beta,
  reads_at_beta_0,
  writes_unwanted_helper,
  unwritten_result,
  unwritten_gradient,
  outside,
  threads,
  state,
  order,
  workspace
};

struct Product {
  Fault fault = Fault::none;
  int calls = 0;

  Shape shape(MatrixView<const double> x, MatrixView<const double>) const { return {x.rows, x.cols}; }
  void forward(Context<Cpu>& context, MatrixView<const double> x, MatrixView<const double> w, MatrixView<double> y) {
    ++calls;
    for (index_t i = 0; i < y.rows; ++i)
      for (index_t j = 0; j < y.cols; ++j) {
        if (fault == Fault::unwritten_result && i == y.rows - 1 && j == y.cols - 1) continue;
        y(i, j) = x(i, j) * w(i, j);
        if (fault == Fault::threads && context.threads() > 1) y(i, j) += 1e-15;
        if (fault == Fault::state && calls > 1) y(i, j) *= 1 + 1e-15;
      }
  }
  void backward(Context<Cpu>&, MatrixView<const double> x, MatrixView<const double> w, MatrixView<const double>,
                MatrixView<const double> dy, GradView<double> dx, GradView<double> dw) {
    if (fault == Fault::order && dw.wanted()) write(dw, dy, x, true);
    if (fault == Fault::workspace && dw.wanted() && dw.beta != 0 && dx.wanted() && dx.beta == 0) {
      // Keeps what dw adds to while dx is written, which is wrong where that is dx.
      Matrix<double, Cpu> kept(dw.view.rows, dw.view.cols);
      for (index_t i = 0; i < kept.rows(); ++i) std::copy_n(dw.view.row(i), kept.cols(), kept.view().row(i));
      write(dx, dy, w, true);
      for (index_t i = 0; i < kept.rows(); ++i) std::copy_n(kept.view().row(i), kept.cols(), dw.view.row(i));
      return write(dw, dy, x, true);
    }
    if (dx.wanted()) write(dx, dy, w, dw.wanted());
    if (fault != Fault::order && dw.wanted()) write(dw, dy, x, true);
    if (fault == Fault::outside && dw.wanted()) dw.view(0, dw.view.cols) = 0;
  }
  void write(GradView<double> g, MatrixView<const double> dy, MatrixView<const double> other, bool both) const {
    for (index_t i = 0; i < dy.rows; ++i)
      for (index_t j = 0; j < dy.cols; ++j) {
        double value = dy(i, j) * other(i, j);
        if (fault == Fault::gradient) value *= 1 + 1e-4;
        if (fault == Fault::rare_gradient && i == 5 && j == 7) value += 1e-3;
        if (fault == Fault::writes_unwanted_helper && !both) value *= 1 + 1e-14;
        if (fault == Fault::unwritten_gradient && i == 1 && j == 0) continue;
        const double beta = fault == Fault::ignores_beta ? 0.0 : g.beta;
        g.view(i, j) = beta == 0 && fault != Fault::reads_at_beta_0 ? value : value + beta * g.view(i, j);
      }
  }
};

/// The same for any number of inputs: y = sum of squares of all inputs, 1 x 1.
struct Squares {
  bool skips_last = false;
  bool from_last = false;

  Shape shape(std::span<const MatrixView<const double>>) const { return {1, 1}; }
  void forward(Context<Cpu>&, std::span<const MatrixView<const double>> x, MatrixView<double> y) const {
    y(0, 0) = 0;
    for (const auto& m : x)
      for (index_t i = 0; i < m.rows; ++i)
        for (index_t j = 0; j < m.cols; ++j) y(0, 0) += m(i, j) * m(i, j);
  }
  void backward(Context<Cpu>&, std::span<const MatrixView<const double>> x, MatrixView<const double>,
                MatrixView<const double> dy, std::span<const GradView<double>> dx) const {
    for (std::size_t n = 0; n < x.size(); ++n) {
      const std::size_t k = from_last ? x.size() - 1 - n : n;
      if (!dx[k].wanted()) continue;
      const double scale = skips_last && k + 1 == x.size() ? 0.0 : 2 * dy(0, 0);
      for (index_t i = 0; i < x[k].rows; ++i)
        for (index_t j = 0; j < x[k].cols; ++j)
          dx[k].view(i, j) = scale * x[k](i, j) + (dx[k].beta == 0 ? 0.0 : dx[k].beta * dx[k].view(i, j));
    }
  }
};

}  // namespace

TEST_CASE("The op check passes a correct op and names every planted fault") {
  const auto x = random_matrix(9, 12, 1), w = random_matrix(9, 12, 2);
  const auto check = [&](Fault fault) {
    Product op{fault};
    return check_op(op, {x.view(), w.view()});
  };
  const OpReport good = check(Fault::none);
  INFO(good.text());
  CHECK(good.ok());
  CHECK(good.largest_difference < 1e-9);
  const std::pair<Fault, const char*> expected[] = {
      {Fault::gradient, "finite differences say"},
      {Fault::rare_gradient, "along random direction"},
      {Fault::ignores_beta, "is not added"},
      {Fault::reads_at_beta_0, "reads what was there"},
      {Fault::writes_unwanted_helper, "changes when"},
      {Fault::unwritten_result, "forward leaves results unwritten"},
      {Fault::unwritten_gradient, "is not written completely"},
      {Fault::outside, "writes outside the gradient of input 1"},
      {Fault::threads, "other bits the second time, on 2 threads"},
      {Fault::state, "other bits the second time"},
      {Fault::order, "with one value as inputs 0 and 1 its gradient is not the sum of both"},
      {Fault::workspace, "with one value as inputs 0 and 1 its gradient is not the sum of both"},
  };
  for (const auto& [fault, text] : expected) {
    const OpReport report = check(fault);
    INFO(text << " expected in: " << report.text());
    CHECK_FALSE(report.ok());
    CHECK(report.text().find(text) != std::string::npos);
  }
}

TEST_CASE("The op check takes ops on any number of inputs, and inputs that need no gradient") {
  const auto a = random_matrix(3, 4, 1), b = random_matrix(2, 1, 2), c = random_matrix(5, 2, 3);
  Squares good, bad{true};
  CHECK(check_op(good, {a.view(), b.view(), c.view()}).ok());
  CHECK_FALSE(check_op(bad, {a.view(), b.view(), c.view()}).ok());
  CHECK(check_op(bad, {a.view(), b.view(), c.view()}, {.differentiable = {true, true, false}}).ok());
  REQUIRE_ERROR(check_op(good, {}), "no inputs");
  CHECK(check_op(good, {a.view(), a.view(), b.view(), a.view()}).ok());  // equal shapes
  Squares backwards{false, true};
  CHECK(check_op(backwards, {a.view(), b.view()}).ok());
  const OpReport order = check_op(backwards, {a.view(), b.view(), a.view()});
  CHECK(order.text().find("with one value as inputs 0 and 2") != std::string::npos);
  CHECK(check_op(backwards, {a.view(), a.view()}, {.differentiable = {true, false}}).ok());
  Product product;
  REQUIRE_ERROR(check_op(product, {a.view()}), "takes 2 inputs, not 1");
}

}  // namespace dream_tests::testing_gradient_check
