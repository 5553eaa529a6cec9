#include <dream/autograd/tape.hpp>

#include <cmath>

#include <dream/ops/dense.hpp>
#include <dream/ops/graph.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::autograd_tape {

using namespace dream;
using dream_test::random_matrix;

namespace {

using TapeD = Tape<double, Cpu>;

/// The sum of all entries, 1 x 1.
struct Total {
  Shape shape(MatrixView<const double>) const { return {1, 1}; }
  void forward(Context<Cpu>&, MatrixView<const double> x, MatrixView<double> y) const {
    y(0, 0) = 0;
    for (index_t i = 0; i < x.rows; ++i)
      for (index_t j = 0; j < x.cols; ++j) y(0, 0) += x(i, j);
  }
  void backward(Context<Cpu>&, MatrixView<const double>, MatrixView<const double>, MatrixView<const double> dy,
                GradView<double> dx) const {
    if (!dx.wanted()) return;
    for (index_t i = 0; i < dx.view.rows; ++i)
      for (index_t j = 0; j < dx.view.cols; ++j)
        dx.view(i, j) = dy(0, 0) + (dx.beta == 0 ? 0.0 : dx.beta * dx.view(i, j));
  }
};

/// x * y elementwise; counts how often each gradient was wanted.
struct Times {
  int* backwards = nullptr;
  Shape shape(MatrixView<const double> x, MatrixView<const double>) const { return {x.rows, x.cols}; }
  void forward(Context<Cpu>&, MatrixView<const double> x, MatrixView<const double> y, MatrixView<double> z) const {
    for (index_t i = 0; i < x.rows; ++i)
      for (index_t j = 0; j < x.cols; ++j) z(i, j) = x(i, j) * y(i, j);
  }
  void backward(Context<Cpu>&, MatrixView<const double> x, MatrixView<const double> y, MatrixView<const double>,
                MatrixView<const double> dz, GradView<double> dx, GradView<double> dy) const {
    if (backwards) ++*backwards;
    const auto add = [&](GradView<double> g, MatrixView<const double> other) {
      if (!g.wanted()) return;
      for (index_t i = 0; i < dz.rows; ++i)
        for (index_t j = 0; j < dz.cols; ++j)
          g.view(i, j) = dz(i, j) * other(i, j) + (g.beta == 0 ? 0.0 : g.beta * g.view(i, j));
    };
    add(dx, y);
    add(dy, x);
  }
};

struct Leaf {
  Matrix<double, Cpu> value, gradient;
  Leaf(index_t rows, index_t cols, std::uint64_t seed) : value(random_matrix(rows, cols, seed)), gradient(rows, cols) {
    gradient.fill(std::nan(""));
  }
  Var on(TapeD& tape) { return tape.input(value.view(), gradient.view()); }
};

Var sum_of(TapeD& tape, std::vector<Var> values) {
  return tape.apply_to_all(WeightedSum<double, Cpu>(std::vector<double>(values.size(), 1.0)),
                           std::span<const Var>(values));
}

}  // namespace

TEST_CASE("Gradients of a value that is used several times add up") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(3, 4, 1);
  for (int run = 0; run < 3; ++run) {  // the second run finds the first one's values in every buffer
    tape.clear();
    const Var v = x.on(tape);
    const Var square = tape.apply(Times{}, v, v);     // 2x
    const Var cube = tape.apply(Times{}, square, v);  // x^3
    const Var loss = sum_of(tape, {tape.apply(Total{}, square), tape.apply(Total{}, cube), tape.apply(Total{}, v)});
    tape.backward(loss);
    for (std::int64_t k = 0; k < x.value.size(); ++k) {
      const double value = x.value.data()[k];
      CHECK(x.gradient.data()[k] == Approx(2 * value + 3 * value * value + 1));
    }
    tape.backward(loss);  // again, from the same step
    CHECK(x.gradient(0, 0) == Approx(2 * x.value(0, 0) + 3 * x.value(0, 0) * x.value(0, 0) + 1));
  }
}

TEST_CASE("Parameters that the loss does not depend on get zero gradients, whatever was there") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf used(2, 2, 1), unused(2, 3, 2), behind(2, 2, 3);
  const Var u = used.on(tape);
  unused.on(tape);
  const Var loss = tape.apply(Total{}, u);
  const Var b = behind.on(tape);
  tape.apply(Total{}, b);  // recorded after the loss and no part of it
  tape.backward(loss);
  for (std::int64_t k = 0; k < 6; ++k) CHECK(unused.gradient.data()[k] == 0.0);
  for (std::int64_t k = 0; k < 4; ++k) CHECK(behind.gradient.data()[k] == 0.0);
  for (std::int64_t k = 0; k < 4; ++k) CHECK(used.gradient.data()[k] == 1.0);
}

TEST_CASE("Where no gradient is needed none is computed") {
  Context<Cpu> context(1);
  TapeD tape(context);
  const auto c = random_matrix(2, 2, 1);
  Leaf x(2, 2, 2);
  int backwards = 0;
  const Var constant = tape.constant(c.view());
  const Var frozen = tape.apply(Times{&backwards}, constant, constant);
  CHECK_FALSE(tape.needs_gradient(frozen));
  const Var v = x.on(tape);
  const Var dead = tape.apply(Times{&backwards}, v, v);  // needs a gradient but is not in the loss
  CHECK(tape.needs_gradient(dead));
  tape.backward(tape.apply(Total{}, tape.apply(Times{}, frozen, v)));
  CHECK(backwards == 0);
  CHECK(tape.gradient(frozen).empty());
  for (std::int64_t k = 0; k < 4; ++k) CHECK(x.gradient.data()[k] == Approx(c.data()[k] * c.data()[k]));
  // A loss without any parameter: gradients are zero.
  tape.clear();
  x.on(tape);
  const Var alone = tape.apply(Total{}, tape.constant(c.view()));
  tape.backward(alone);
  for (std::int64_t k = 0; k < 4; ++k) CHECK(x.gradient.data()[k] == 0.0);
}

TEST_CASE("After a second backward the gradients are those of its loss, and empty where it needs none") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(4, 2, 1);
  const Var v = x.on(tape);
  const Var a = tape.apply(Times{}, v, v), b = tape.apply(Times{}, v, v);
  const auto pieces = tape.split_rows(b, std::array<index_t, 2>{1, 3});
  const Var loss_a = tape.apply(Total{}, a), loss_b = tape.apply(Total{}, pieces[1]);
  for (int run = 0; run < 2; ++run) {
    tape.backward(loss_a);
    CHECK(tape.gradient(a).rows == 4);
    for (const Var other : {b, pieces[0], pieces[1], loss_b}) CHECK(tape.gradient(other).empty());
    tape.backward(loss_b);
    for (const Var other : {a, loss_a}) CHECK(tape.gradient(other).empty());
    CHECK(tape.gradient(b).rows == 4);
    CHECK(tape.gradient(pieces[1])(2, 1) == 1.0);
    for (index_t i = 0; i < 4; ++i) CHECK(x.gradient(i, 1) == Approx(i == 0 ? 0.0 : 2 * x.value(i, 1)));
  }
}

TEST_CASE("A loss may be a parameter itself") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(1, 1, 1);
  tape.backward(x.on(tape));
  CHECK(x.gradient(0, 0) == 1.0);
}

TEST_CASE("A parameter put on the tape twice in a step is one value, whose gradients add up") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(2, 3, 1);
  const auto other = random_matrix(2, 3, 9);
  for (int run = 0; run < 2; ++run) {
    tape.clear();
    const Var first = x.on(tape), second = x.on(tape);
    tape.backward(sum_of(tape, {tape.apply(Total{}, first), tape.apply(Total{}, tape.apply(Times{}, second, first))}));
    for (std::int64_t k = 0; k < 6; ++k) CHECK(x.gradient.data()[k] == Approx(1 + 2 * x.value.data()[k]));
    REQUIRE_ERROR(tape.input(other.view(), x.gradient.view()), "share the memory of their gradients");
  }
}

TEST_CASE("Pieces of a value get their own gradients, and pieces nobody uses count as zero") {
  Context<Cpu> context(1);
  Leaf x(6, 2, 1);
  TapeD tape(context);
  for (const unsigned used : {1u, 2u, 4u, 5u, 7u}) {  // bits: which pieces are in the loss
    tape.clear();
    x.gradient.fill(std::nan(""));
    const Var v = x.on(tape);
    const Var square = tape.apply(Times{}, v, v);
    const std::array<index_t, 3> counts{1, 3, 2};
    const auto pieces = tape.split_rows(square, counts);
    std::vector<Var> terms;
    for (unsigned p = 0; p < 3; ++p)
      if (used >> p & 1) {
        terms.push_back(tape.apply(Total{}, pieces[p]));
        terms.push_back(tape.apply(Total{}, tape.apply(Times{}, pieces[p], pieces[p])));
      }
    CHECK(tape.value(pieces[1]).data == tape.value(square).row(1));  // not copied
    tape.backward(sum_of(tape, terms));
    for (index_t i = 0; i < 6; ++i) {
      const unsigned piece = i < 1 ? 0 : i < 4 ? 1 : 2;
      for (index_t j = 0; j < 2; ++j) {
        const double a = x.value(i, j);
        INFO("pieces " << used << ", row " << i);
        CHECK(x.gradient(i, j) == Approx(used >> piece & 1 ? 2 * a + 4 * a * a * a : 0.0));
      }
    }
  }
}

TEST_CASE("Pieces may be split again and may be empty") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(5, 1, 1);
  const Var v = x.on(tape);
  const Var square = tape.apply(Times{}, v, v);
  const auto outer = tape.split_rows(square, std::array<index_t, 3>{2, 0, 3});
  CHECK(tape.value(outer[1]).rows == 0);
  const auto inner = tape.split_rows(outer[2], std::array<index_t, 2>{1, 2});
  tape.backward(
      sum_of(tape, {tape.apply(Total{}, outer[0]), tape.apply(Total{}, outer[1]), tape.apply(Total{}, inner[1])}));
  for (index_t i = 0; i < 5; ++i) CHECK(x.gradient(i, 0) == Approx(i == 2 ? 0.0 : 2 * x.value(i, 0)));
}

TEST_CASE("Wrong uses of a tape are errors") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(4, 2, 1);
  const Var v = x.on(tape);
  const Var square = tape.apply(Times{}, v, v);
  const std::array<index_t, 2> halves{2, 2}, few{2, 1}, many{2, 3};
  REQUIRE_ERROR(tape.split_rows(v, halves), "before any other use");
  REQUIRE_ERROR(tape.split_rows(square, few), "pieces cover 3 rows of the 4 x 2");
  tape.clear();
  const Var v2 = x.on(tape);
  const Var s2 = tape.apply(Times{}, v2, v2);
  REQUIRE_ERROR(tape.split_rows(s2, many), "more rows than the 4 x 2");
  tape.clear();
  const Var v4 = x.on(tape);
  const Var s4 = tape.apply(Times{}, v4, v4);
  const std::array<index_t, 2> negative{-1, 5};
  REQUIRE_ERROR(tape.split_rows(s4, negative), "cannot have -1 rows");
  tape.clear();
  const Var v3 = x.on(tape);
  const Var s3 = tape.apply(Times{}, v3, v3);
  tape.split_rows(s3, halves);
  REQUIRE_ERROR(tape.apply(Total{}, s3), "use its pieces");
  REQUIRE_ERROR(tape.split_rows(s3, halves), "only once");
  REQUIRE_ERROR(tape.backward(v3), "1 x 1 loss, not at 4 x 2");
  REQUIRE_ERROR(tape.value(Var{}), "no value with number -1");
  REQUIRE_ERROR(tape.apply(Total{}, Var{99}), "no value with number 99");
  REQUIRE_ERROR(tape.apply(Times{}, v3), "does not take 1 inputs");
  Matrix<double, Cpu> other(2, 4);
  REQUIRE_ERROR(tape.input(x.value.view(), other.view()), "value is 4 x 2, gradient is 2 x 4");
  tape.clear();
  REQUIRE_ERROR(tape.value(v3), "no value with number");
}

TEST_CASE("Ops that the tape keeps live until backward, and a copyable op given by reference is not copied") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(8, 3, 1);
  const std::vector<std::uint8_t> keep{1, 0, 1, 0, 1, 1, 0, 1};
  for (int run = 0; run < 2; ++run) {
    tape.clear();
    Var v = x.on(tape);
    for (int k = 0; k < 4; ++k) v = tape.apply(MaskRows<double, Cpu>({keep.data(), 8}), v);
    tape.backward(tape.apply(Total{}, v));
    for (index_t i = 0; i < 8; ++i) CHECK(x.gradient(i, 1) == keep[static_cast<std::size_t>(i)]);
  }
  struct Counting : Total {
    int forwards = 0;
    void forward(Context<Cpu>& c, MatrixView<const double> in, MatrixView<double> out) {
      ++forwards;
      Total::forward(c, in, out);
    }
  } op;
  tape.clear();
  tape.apply(op, x.on(tape));
  CHECK(op.forwards == 1);
}

TEST_CASE("An op on any number of inputs works with one input, with many, and with the same one twice") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(2, 3, 1);
  for (const std::size_t count : {1, 2, 9}) {
    tape.clear();
    const Var v = x.on(tape);
    tape.backward(tape.apply(Total{}, sum_of(tape, std::vector<Var>(count, v))));
    for (std::int64_t k = 0; k < 6; ++k) CHECK(x.gradient.data()[k] == static_cast<double>(count));
  }
}

TEST_CASE("Values and gradients may lie in a larger matrix") {
  Context<Cpu> context(1);
  TapeD tape(context);
  Leaf x(4, 6, 1);
  const Var v = tape.input(std::as_const(x.value).view().middle_cols(2, 3), x.gradient.view().middle_cols(2, 3));
  tape.backward(tape.apply(Total{}, tape.apply(Times{}, v, v)));
  for (index_t i = 0; i < 4; ++i)
    for (index_t j = 0; j < 6; ++j) {
      if (j >= 2 && j < 5)
        CHECK(x.gradient(i, j) == Approx(2 * x.value(i, j)));
      else
        CHECK(std::isnan(x.gradient(i, j)));
    }
}

TEST_CASE(
    "Steps of different sizes on one tape do not disturb each other, and memory does not grow beyond the largest") {
  Context<Cpu> context(1);
  TapeD tape(context);
  index_t most = 0;  // rows
  for (const index_t rows : {7, 100, 1, 100, 7, 100}) {
    Leaf x(rows, 5, static_cast<std::uint64_t>(rows));
    tape.clear();
    const Var v = x.on(tape);
    tape.backward(tape.apply(Total{}, tape.apply(Times{}, v, v)));
    for (std::int64_t k = 0; k < x.value.size(); ++k) REQUIRE(x.gradient.data()[k] == Approx(2 * x.value.data()[k]));
    most = std::max(most, rows);
    // Value and gradient of the product and of its total.
    CHECK(tape.bytes() == static_cast<std::int64_t>(sizeof(double)) * (2 * 5 * most + 2));
  }
}

}  // namespace dream_tests::autograd_tape
