#include <dream/backend/sparse.hpp>

#include <cmath>
#include <numeric>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::backend_sparse {

using namespace dream;
using dream_test::dense_of;
using dream_test::random_csr;
using dream_test::random_matrix;
using dream_test::random_rows;
using dream_test::view;

namespace {

/// alpha A X + beta Y in double, dense.
Matrix<double, Cpu> dense_product(double alpha, const Matrix<double, Cpu>& a, const Matrix<double, Cpu>& x, double beta,
                                  const Matrix<double, Cpu>& y) {
  Matrix<double, Cpu> out(a.rows(), x.cols());
  for (index_t i = 0; i < a.rows(); ++i)
    for (index_t j = 0; j < x.cols(); ++j) {
      double sum = 0;
      for (index_t k = 0; k < a.cols(); ++k) sum += a(i, k) * x(k, j);
      out(i, j) = alpha * sum + (beta == 0 ? 0.0 : beta * y(i, j));
    }
  return out;
}

template <class T>
double difference(const Matrix<T, Cpu>& a, const Matrix<double, Cpu>& b) {
  REQUIRE(a.rows() == b.rows());
  REQUIRE(a.cols() == b.cols());
  double worst = 0;
  for (std::int64_t k = 0; k < a.size(); ++k) {
    const double d = std::abs(static_cast<double>(a.data()[k]) - b.data()[k]);
    worst = std::max(worst, d == d ? d : 1e300);
  }
  return worst;
}

template <class T>
void fill_from(Matrix<T, Cpu>& to, const Matrix<double, Cpu>& from, bool with_nan) {
  for (std::int64_t k = 0; k < to.size(); ++k)
    to.data()[k] = with_nan ? static_cast<T>(std::nan("")) : static_cast<T>(from.data()[k]);
}

template <class T>
void check_products(index_t rows, index_t cols, index_t dim, double tolerance) {
  const auto exact = random_csr(rows, cols, 5, 1);
  const auto a = random_csr<T>(rows, cols, 5, 1);
  const auto dense = dense_of(exact.view());
  const auto x = random_matrix(cols, dim, 2), start = random_matrix(rows, dim, 3);
  const auto xt = random_matrix<T>(cols, dim, 2);
  const auto rows_of_batch = random_rows(2 * rows + 1, rows, 4);
  for (const int threads : {1, 2, 3}) {
    Context<Cpu> context(threads);
    Matrix<T, Cpu> y(rows, dim);
    for (const auto& [alpha, beta] : {std::pair<double, double>{1, 0}, {-0.5, 1}, {2, 0.25}}) {
      INFO(rows << " x " << cols << ", " << dim << " columns, beta " << beta << ", " << threads << " threads");
      fill_from(y, start, beta == 0);
      spmm<T>(context, static_cast<T>(alpha), a.view(), xt.view(), static_cast<T>(beta), y.view());
      CHECK(difference(y, dense_product(alpha, dense, x, beta, start)) < tolerance);

      // Only some columns of A meet a row of X that is not zero.
      std::vector<index_t> places(static_cast<std::size_t>(cols), -1);
      Matrix<double, Cpu> thin(cols, dim);
      Matrix<T, Cpu> compact(std::max<index_t>(1, (cols + 2) / 3), dim);
      thin.fill(0);
      for (index_t c = 0, next = 0; c < cols; c += 3, ++next) {
        places[static_cast<std::size_t>(c)] = next;
        for (index_t j = 0; j < dim; ++j) {
          thin(c, j) = x(c, j);
          compact(next, j) = xt(c, j);
        }
      }
      fill_from(y, start, beta == 0);
      spmm_places<T>(context, static_cast<T>(alpha), a.view(), view(places), compact.view(), static_cast<T>(beta),
                     y.view());
      CHECK(difference(y, dense_product(alpha, dense, thin, beta, start)) < tolerance);
    }
    Matrix<T, Cpu> some(static_cast<index_t>(rows_of_batch.size()), dim);
    some.fill(static_cast<T>(std::nan("")));
    spmm_rows<T>(context, a.view(), view(rows_of_batch), xt.view(), some.view());
    const auto all = dense_product(1, dense, x, 0, start);
    Matrix<double, Cpu> expected(some.rows(), dim);
    for (index_t k = 0; k < some.rows(); ++k)
      for (index_t j = 0; j < dim; ++j) expected(k, j) = all(rows_of_batch[static_cast<std::size_t>(k)], j);
    CHECK(difference(some, expected) < tolerance);
  }
}

}  // namespace

TEST_CASE("Sparse products agree with dense ones at every width, with empty and long rows, on any threads", "[sizes]") {
  for (const index_t rows : dream_test::sizes({1, 65}, {1, 2, 65, 200}))
    for (const index_t dim : dream_test::sizes({1, 16, 65}, {1, 5, 15, 16, 17, 64, 65, 129})) {
      check_products<double>(rows, rows + 30, dim, 1e-12);
      check_products<float>(rows, rows + 30, dim, 1e-4);
    }
}

TEST_CASE("A row of more entries than a chunk, met by all or by no rows of X, is summed once") {
  Context<Cpu> context(2);
  for (const index_t entries : {0, 1, 63, 64, 65, 128, 129, 500}) {
    std::vector<index_t> row(static_cast<std::size_t>(entries), 0), col(row.size());
    std::iota(col.begin(), col.end(), 0);
    const auto a = csr_from_triplets<double>(context, 1, 500, row, col);
    Matrix<double, Cpu> x(500, 3), y(1, 3);
    for (index_t i = 0; i < 500; ++i)
      for (index_t j = 0; j < 3; ++j) x(i, j) = i + 1;
    std::vector<index_t> places(500);
    std::iota(places.begin(), places.end(), 0);
    y.fill(10);
    spmm_places<double>(context, 2.0, a.view(), view(places), x.view(), 0.5, y.view());
    for (index_t j = 0; j < 3; ++j) CHECK(y(0, j) == entries * (entries + 1.0) + 5);
    std::fill(places.begin(), places.end(), -1);
    y.fill(10);
    spmm_places<double>(context, 2.0, a.view(), view(places), x.view(), 0.5, y.view());
    for (index_t j = 0; j < 3; ++j) CHECK(y(0, j) == 5.0);
    y.fill(std::nan(""));
    spmm_places<double>(context, 2.0, a.view(), view(places), x.view(), 0.0, y.view());
    for (index_t j = 0; j < 3; ++j) CHECK(y(0, j) == 0.0);
  }
}

TEST_CASE("Row groups list distinct rows ascending with their positions, batch after batch") {
  Context<Cpu> context(1);
  RowGroups<Cpu> groups;
  for (const auto& [count, limit] :
       {std::pair<index_t, index_t>{40, 30}, {1, 30}, {0, 30}, {200, 30}, {7, 1}, {50, 1000}, {3, 1000}}) {
    const auto rows = random_rows(count, limit, static_cast<std::uint64_t>(count));
    groups.build(context, view(rows), limit);
    std::vector<index_t> distinct = rows;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    REQUIRE(groups.count() == static_cast<index_t>(distinct.size()));
    REQUIRE(std::equal(distinct.begin(), distinct.end(), groups.rows().begin(), groups.rows().end()));
    REQUIRE(groups.places().size == limit);
    for (index_t r = 0; r < limit; ++r) {
      const auto at = std::lower_bound(distinct.begin(), distinct.end(), r);
      REQUIRE(groups.places()[r] ==
              (at != distinct.end() && *at == r ? static_cast<index_t>(at - distinct.begin()) : -1));
    }
    const CsrView<double> sums = groups.sum_matrix<double>();
    REQUIRE(sums.entries() == count);
    for (index_t g = 0; g < groups.count(); ++g)
      for (std::int64_t e = sums.offsets[g]; e < sums.offsets[g + 1]; ++e) {
        REQUIRE(rows[static_cast<std::size_t>(sums.indices[e])] == distinct[static_cast<std::size_t>(g)]);
        if (e > sums.offsets[g]) REQUIRE(sums.indices[e] > sums.indices[e - 1]);  // each position once, in order
      }
  }
}

TEST_CASE("Gathering and then scattering group sums is the product with the selection's transpose") {
  Context<Cpu> context(2);
  const index_t total = 50, batch = 90, dim = 17;
  const auto rows = random_rows(batch, total, 3);
  const auto dy = random_matrix(batch, dim, 1), start = random_matrix(total, dim, 2);
  RowGroups<Cpu> groups;
  groups.build(context, view(rows), total);
  Matrix<double, Cpu> sums(groups.count(), dim), dx(total, dim);
  sum_groups<double>(context, groups, dy.view(), sums.view());
  for (const double beta : {0.0, 1.0, -0.5}) {
    Matrix<double, Cpu> expected(total, dim);
    for (std::int64_t k = 0; k < expected.size(); ++k) expected.data()[k] = beta == 0 ? 0.0 : beta * start.data()[k];
    for (index_t k = 0; k < batch; ++k)
      for (index_t j = 0; j < dim; ++j) expected(rows[static_cast<std::size_t>(k)], j) += dy(k, j);
    fill_from(dx, start, beta == 0);
    scatter_groups<double>(context, groups, sums.view(), beta, dx.view());
    CHECK(difference(dx, expected) < 1e-13);
  }
}

TEST_CASE("Sparse products refuse shapes that do not fit and rows that do not exist") {
  Context<Cpu> context(1);
  const auto a = random_csr(4, 5, 2, 1);
  const auto x = random_matrix(5, 3, 1), short_x = random_matrix(4, 3, 1);
  Matrix<double, Cpu> y(4, 3), two(2, 3);
  REQUIRE_ERROR(spmm<double>(context, 1.0, a.view(), short_x.view(), 0.0, y.view()), "A is 4 x 5, X is 4 x 3");
  const std::vector<index_t> high{0, 4}, low{-1, 0};
  REQUIRE_ERROR(spmm_rows<double>(context, a.view(), view(high), x.view(), two.view()), "row 4 at place 1");
  REQUIRE_ERROR(gather_rows<double>(context, x.view(), view(low), two.view()), "row -1 at place 0");
  REQUIRE_ERROR(gather_rows<double>(context, x.view(), view(low), y.view()), "2 rows, Y is 4 x 3");
  RowGroups<Cpu> groups;
  const std::vector<index_t> good{0, 1};
  groups.build(context, view(good), 4);
  REQUIRE_ERROR(groups.build(context, view(high), 4), "outside 0 .. 3");
  groups.build(context, view(good), 4);  // usable after an error
  CHECK(groups.count() == 2);
  CHECK(groups.places()[3] == -1);
  REQUIRE_ERROR(sum_groups<double>(context, groups, x.view(), y.view()), "2 groups of 5 x 3");
}

}  // namespace dream_tests::backend_sparse
