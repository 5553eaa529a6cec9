#include <dream/backend/gemm.hpp>

#include <cmath>
#include <cstring>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::backend_gemm {

using namespace dream;

namespace {

/// A matrix with NaN between its rows, which no product may read or write.
template <class T>
struct Padded {
  index_t rows, cols, gap;
  std::vector<T> values;

  Padded(index_t r, index_t c, index_t padding, std::uint64_t seed)
      : rows(r), cols(c), gap(padding), values(static_cast<std::size_t>(r) * (c + padding) + 1, std::nan("")) {
    const RandomStream random{seed};
    for (index_t i = 0; i < r; ++i)
      for (index_t j = 0; j < c; ++j)
        view()(i, j) = static_cast<T>(2 * random.uniform(static_cast<std::uint64_t>(i) * 65537u + j) - 1);
  }
  MatrixView<T> view() { return {values.data(), rows, cols, cols + gap}; }
  MatrixView<const T> view() const { return {values.data(), rows, cols, cols + gap}; }
  void fill(T value) {
    for (index_t i = 0; i < rows; ++i) std::fill_n(view().row(i), cols, value);
  }
  bool gaps_are_nan() const {
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < gap; ++j)
        if (!std::isnan(view().row(i)[cols + j])) return false;
    return std::isnan(values.back());
  }
  bool same_bits(const Padded& other) const {
    return std::memcmp(values.data(), other.values.data(), values.size() * sizeof(T)) == 0;
  }
};

/// The largest error of C = alpha op(A) op(B) + beta C0, in units of k roundings.
template <class T>
double error(Op op_a, Op op_b, double alpha, MatrixView<const T> a, MatrixView<const T> b, double beta,
             MatrixView<const T> before, MatrixView<const T> after, index_t k) {
  double worst = 0;
  for (index_t i = 0; i < after.rows; ++i)
    for (index_t j = 0; j < after.cols; ++j) {
      double sum = 0;
      for (index_t p = 0; p < k; ++p)
        sum += static_cast<double>(op_a == Op::none ? a(i, p) : a(p, i)) *
               static_cast<double>(op_b == Op::none ? b(p, j) : b(j, p));
      const double expected = alpha * sum + (beta == 0 ? 0.0 : beta * static_cast<double>(before(i, j)));
      const double difference = std::abs(expected - static_cast<double>(after(i, j)));
      worst = std::max(worst, difference == difference ? difference : 1e300);
    }
  return worst / ((k + 4) * static_cast<double>(std::numeric_limits<T>::epsilon()));
}

template <class T>
void check_product(index_t m, index_t n, index_t k, index_t gap) {
  Context<Cpu> context(2);
  for (const Op op_a : {Op::none, Op::transpose})
    for (const Op op_b : {Op::none, Op::transpose}) {
      const Padded<T> a(op_a == Op::none ? m : k, op_a == Op::none ? k : m, gap, 1);
      const Padded<T> b(op_b == Op::none ? k : n, op_b == Op::none ? n : k, gap, 2);
      const int way = (op_a == Op::transpose) + 2 * (op_b == Op::transpose);
      const double alpha = way == 1 ? -0.5 : 1.0, beta = way == 0 ? 0.0 : way == 3 ? 1.0 : 0.25;
      for (const double use : {0.0, beta}) {
        Padded<T> c(m, n, gap, 3);
        const Padded<T> before = c;
        if (use == 0) c.fill(std::numeric_limits<T>::quiet_NaN());
        gemm<T>(context, op_a, op_b, static_cast<T>(alpha), a.view(), b.view(), static_cast<T>(use), c.view());
        INFO(m << " x " << n << " x " << k << ", transposes " << way << ", beta " << use << ", " << sizeof(T)
               << " bytes");
        REQUIRE(error<T>(op_a, op_b, alpha, a.view(), b.view(), use, before.view(), c.view(), k) < 1.0);
        REQUIRE(c.gaps_are_nan());
      }
    }
}

}  // namespace

TEST_CASE("Products agree with the triple sum around every tile edge, transposed or not, with rows apart") {
  const index_t sizes[] = {1, 5, 6, 7, 63, 64, 65, 120, 121};
  // Every pair of sizes stands once in each pair of places: a third follows from the other two.
  for (std::size_t i = 0; i < 9; ++i)
    for (std::size_t j = 0; j < 9; ++j) {
      const index_t m = sizes[i], n = sizes[j], k = sizes[(i + 2 * j) % 9];
      check_product<float>(m, n, k, static_cast<index_t>((i + j) % 3));
      if ((i + j) % 2 == 0) check_product<double>(m, n, k, static_cast<index_t>((i + j) % 3));
    }
  for (const auto& [m, n, k] :
       {std::array<index_t, 3>{513, 7, 5}, {5, 513, 7}, {6, 5, 513}, {121, 300, 513}, {3, 1, 1025}})
    check_product<float>(m, n, k, 1);
}

TEST_CASE("A long sum into a small result, taken in pieces, agrees with the triple sum") {
  for (const auto& [m, n, k] : {std::array<index_t, 3>{1, 1, 2049}, {7, 65, 3000}, {64, 64, 5000}}) {
    check_product<float>(m, n, k, 2);
    check_product<double>(m, n, k, 0);
  }
}

TEST_CASE("A product over nothing scales the result, and one with an empty result does nothing") {
  Context<Cpu> context(2);
  const Matrix<float, Cpu> a(3, 0), b(0, 4), none(0, 5);
  Matrix<float, Cpu> c(3, 4), empty(0, 4);
  c.fill(std::nanf(""));
  gemm<float>(context, Op::none, Op::none, 1.0f, a.view(), b.view(), 0.0f, c.view());
  for (std::int64_t e = 0; e < c.size(); ++e) REQUIRE(c.data()[e] == 0.0f);
  c.fill(3);
  gemm<float>(context, Op::none, Op::none, 1.0f, a.view(), b.view(), 0.5f, c.view());
  for (std::int64_t e = 0; e < c.size(); ++e) REQUIRE(c.data()[e] == 1.5f);
  const Matrix<float, Cpu> five(5, 4);
  gemm<float>(context, Op::none, Op::none, 1.0f, none.view(), five.view(), 0.0f, empty.view());
}

TEST_CASE("A product has the same bits on any number of threads, and again on memory that others used", "[sizes]") {
  using Shape = std::array<index_t, 3>;
  for (const auto& [m, n, k] :
       dream_test::sizes<Shape>({{700, 64, 130}, {64, 70, 5000}},
                                {{700, 64, 130}, {64, 70, 5000}, {300, 513, 65}, {1000, 1, 700}, {130, 600, 1100}}))
    for (const Op op_a : {Op::none, Op::transpose})
      for (const Op op_b : {Op::none, Op::transpose}) {
        const Padded<float> a(op_a == Op::none ? m : k, op_a == Op::none ? k : m, 1, 1);
        const Padded<float> b(op_b == Op::none ? k : n, op_b == Op::none ? n : k, 0, 2);
        Padded<float> expected(m, n, 3, 3);
        Context<Cpu> one(1);
        gemm<float>(one, op_a, op_b, 0.7f, a.view(), b.view(), 0.0f, expected.view());
        for (const int threads : {1, 2, 3}) {
          Context<Cpu> context(threads);
          for (int run = 0; run < 2; ++run) {
            Padded<float> c(m, n, 3, 3);
            gemm<float>(context, op_a, op_b, 0.7f, a.view(), b.view(), 0.0f, c.view());
            REQUIRE(c.same_bits(expected));
            gemm<float>(context, Op::transpose, Op::none, 1.0f, expected.view(), expected.view(), 0.0f,
                        Padded<float>(n, n, 0, 4).view());
          }
        }
      }
}

TEST_CASE("Equal rows and equal columns give equal results to the bit, wherever they stand") {
  for (const auto& [m, n, k] : {std::array<index_t, 3>{259, 70, 600}, {127, 129, 2500}, {20, 300, 65}})
    for (const Op op_a : {Op::none, Op::transpose})
      for (const Op op_b : {Op::none, Op::transpose}) {
        Padded<float> a(op_a == Op::none ? m : k, op_a == Op::none ? k : m, 0, 1);
        Padded<float> b(op_b == Op::none ? k : n, op_b == Op::none ? n : k, 0, 2);
        for (index_t p = 0; p < k; ++p) {  // all rows of op(A) are its first, all columns of op(B) its first
          for (index_t i = 1; i < m; ++i)
            op_a == Op::none ? a.view()(i, p) = a.view()(0, p) : a.view()(p, i) = a.view()(p, 0);
          for (index_t j = 1; j < n; ++j)
            op_b == Op::none ? b.view()(p, j) = b.view()(p, 0) : b.view()(j, p) = b.view()(0, p);
        }
        Context<Cpu> context(2);
        for (const float beta : {0.0f, 1.0f}) {
          Padded<float> c(m, n, 0, 3);
          c.fill(0.3f);
          gemm<float>(context, op_a, op_b, 1.1f, a.view(), b.view(), beta, c.view());
          for (index_t i = 0; i < m; ++i)
            for (index_t j = 0; j < n; ++j) REQUIRE(c.view()(i, j) == c.view()(0, 0));
        }
      }
}

TEST_CASE("A product of matrices that do not fit is an error that names the three shapes") {
  Context<Cpu> context(1);
  const Matrix<float, Cpu> a(2, 3), b(4, 5);
  Matrix<float, Cpu> c(2, 5);
  REQUIRE_ERROR(gemm<float>(context, Op::none, Op::none, 1.0f, a.view(), b.view(), 0.0f, c.view()),
                "op(A) is 2 x 3, op(B) is 4 x 5, C is 2 x 5");
  REQUIRE_ERROR(gemm<float>(context, Op::transpose, Op::transpose, 1.0f, a.view(), b.view(), 0.0f, c.view()),
                "op(A) is 3 x 2, op(B) is 5 x 4, C is 2 x 5");
}

}  // namespace dream_tests::backend_gemm
