#include <dream/components/batch_similarity_loss.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::components_batch_similarity_loss {

using namespace dream;
using dream_test::random_matrix;
using dream_test::random_rows;
using dream_test::view;

namespace {

template <class T>
Array<T, Cpu> inverse_norms(const Matrix<T, Cpu>& f) {
  Context<Cpu> context(1);
  Array<T, Cpu> inverse(f.rows());
  inverse_row_norms<T>(context, f.view(), inverse.view());
  return inverse;
}

double cosine(const Matrix<double, Cpu>& m, index_t i, index_t k) {
  double dot = 0, a = 0, b = 0;
  for (index_t j = 0; j < m.cols(); ++j) {
    dot += m(i, j) * m(k, j);
    a += m(i, j) * m(i, j);
    b += m(k, j) * m(k, j);
  }
  return a > 0 && b > 0 ? dot / std::sqrt(a * b) : 0;
}

/// The loss as the spec writes it, with the b x b matrices.
double naive(const Matrix<double, Cpu>& h, const Matrix<double, Cpu>& f, const std::vector<index_t>& rows,
             SimilarityForm form, bool root) {
  double sum = 0;
  const index_t b = h.rows();
  for (index_t i = 0; i < b; ++i)
    for (index_t k = 0; k < b; ++k) {
      double left = 0;
      if (form == SimilarityForm::cosine)
        left = cosine(h, i, k);
      else
        for (index_t j = 0; j < h.cols(); ++j) left += h(i, j) * h(k, j);
      const double difference = left - cosine(f, rows[static_cast<std::size_t>(i)], rows[static_cast<std::size_t>(k)]);
      sum += difference * difference;
    }
  return root ? std::sqrt(sum) / b : sum / b / b;
}

}  // namespace

TEST_CASE("S3 is the mean square difference of the similarity matrices in every form, and its gradient is right",
          "[sizes]") {
  for (const index_t b : dream_test::sizes({1, 33}, {1, 2, 31, 33, 129, 300}))
    for (const auto& [d, dm] : {std::pair<index_t, index_t>{1, 1}, {5, 16}, {16, 5}, {64, 65}, {65, 300}})
      for (const SimilarityForm form : {SimilarityForm::cosine, SimilarityForm::dot})
        for (const bool root : {false, true}) {
          if (b >= 129 && d != 5 && (d != 65 || root)) continue;
          INFO(b << " rows, d " << d << ", d_m " << dm << (form == SimilarityForm::dot ? ", dot" : ", cosine")
                 << (root ? ", root" : ""));
          const auto h = random_matrix(b, d, 1, 7), f = random_matrix(50, dm, 2, 5);
          const auto inverse = inverse_norms(f);
          const auto rows = random_rows(b, 50, 3);
          BatchSimilarityLoss<double, Cpu> op(f.view(), inverse.view(), {.form = form, .root = root});
          op.select(view(rows));
          const double expected = naive(h, f, rows, form, root);
          Context<Cpu> context(2);
          Matrix<double, Cpu> loss(1, 1);
          op.forward(context, h.view(), loss.view());
          // The squares are multiplied out: what is left of sums of size b^2 is exact to 1e-16 of those.
          CHECK(std::abs(loss(0, 0) - expected) <= (root ? 1e-7 : 1e-10) * std::max(1.0, expected));
          if (root && expected < 1e-3) continue;                   // a root has no derivative at zero
          if (b == 1 && form == SimilarityForm::cosine) continue;  // constant
          const OpReport report =
              check_op(op, {h.view()}, {.entries = 6, .move_zero_rows = form == SimilarityForm::dot});
          INFO(report.text());
          CHECK(report.ok());
        }
}

TEST_CASE("The sampled S3 has the exact one's gradient to the bit, and its value in the mean over many steps") {
  const index_t b = 64, d = 8;
  const auto h = random_matrix(b, d, 1, 9), f = random_matrix(80, 20, 2, 11);
  const auto inverse = inverse_norms(f);
  const auto rows = random_rows(b, 80, 3);
  Context<Cpu> context(1);
  using Loss = BatchSimilarityLoss<double, Cpu>;
  Loss exact(f.view(), inverse.view(), {});
  Loss sampled(f.view(), inverse.view(), {.target_norm = TargetNorm::sampled, .seed = 5});
  Matrix<double, Cpu> value(1, 1), one(1, 1), g(b, d), sampled_g(b, d);
  one(0, 0) = 1;
  exact.select(view(rows));
  exact.forward(context, h.view(), value.view());
  const double truth = value(0, 0);
  exact.backward(context, h.view(), value.view(), one.view(), {g.view(), 0, true});
  const int steps = 400;
  double sum = 0, squares = 0;
  for (int step = 0; step < steps; ++step) {
    sampled.select(view(rows), static_cast<std::uint32_t>(step));
    sampled.forward(context, h.view(), value.view());
    sampled.backward(context, h.view(), value.view(), one.view(), {sampled_g.view(), 0, true});
    REQUIRE(std::equal(g.data(), g.data() + g.size(), sampled_g.data()));
    sum += value(0, 0);
    squares += value(0, 0) * value(0, 0);
  }
  const double mean = sum / steps, deviation = std::sqrt((squares / steps - mean * mean) / steps);
  INFO("exact " << truth << ", mean " << mean << " with standard error " << deviation);
  CHECK(deviation > 0);             // it is sampled
  CHECK(deviation < 0.01 * truth);  // and close
  CHECK(std::abs(mean - truth) < 4 * deviation);
}

TEST_CASE("The sampled S3 repeats with seed and step, differs with either, and is the same on any threads") {
  const index_t b = 100;
  const auto h = random_matrix<float>(b, 8, 1), f = random_matrix<float>(b, 30, 2);
  const auto inverse = inverse_norms(f);
  std::vector<index_t> rows;
  for (index_t k = 0; k < b; ++k) rows.push_back(k);
  const auto value = [&](int threads, std::uint64_t seed, std::uint32_t step) {
    Context<Cpu> context(threads);
    BatchSimilarityLoss<float, Cpu> op(f.view(), inverse.view(), {.target_norm = TargetNorm::sampled, .seed = seed});
    op.select(view(rows), step);
    Matrix<float, Cpu> loss(1, 1);
    op.forward(context, h.view(), loss.view());
    return loss(0, 0);
  };
  CHECK(value(1, 3, 4) == value(2, 3, 4));
  CHECK(value(1, 3, 4) == value(3, 3, 4));
  CHECK(value(1, 3, 4) != value(1, 3, 5));
  CHECK(value(1, 3, 4) != value(1, 4, 4));
}

TEST_CASE("S3 that is not finite says so in its value") {
  auto h = random_matrix<float>(6, 4, 1);
  const auto f = random_matrix<float>(6, 5, 2);
  const auto inverse = inverse_norms(f);
  const std::vector<index_t> rows{0, 1, 2, 3, 4, 5};
  Context<Cpu> context(1);
  for (const SimilarityForm form : {SimilarityForm::cosine, SimilarityForm::dot})
    for (const float bad : {std::nanf(""), 1e38f}) {
      if (form == SimilarityForm::cosine && bad == 1e38f) continue;  // a large row has a cosine like any other
      h(2, 1) = bad;
      BatchSimilarityLoss<float, Cpu> op(f.view(), inverse.view(), {.form = form});
      op.select(view(rows));
      Matrix<float, Cpu> loss(1, 1);
      op.forward(context, h.view(), loss.view());
      CHECK_FALSE(std::isfinite(loss(0, 0)));
    }
}

TEST_CASE("S3 in float on a batch of 1000 follows the double formula") {
  const index_t b = 1000, d = 32;
  const auto h = random_matrix(b, d, 1), f = random_matrix(b, 100, 2);
  const auto h32 = random_matrix<float>(b, d, 1), f32 = random_matrix<float>(b, 100, 2);
  const auto inverse = inverse_norms(f32);
  std::vector<index_t> rows;
  for (index_t k = 0; k < b; ++k) rows.push_back(k);
  Context<Cpu> context(2);
  BatchSimilarityLoss<float, Cpu> op(f32.view(), inverse.view());
  op.select(view(rows));
  Matrix<float, Cpu> loss(1, 1);
  op.forward(context, h32.view(), loss.view());
  CHECK(std::abs(static_cast<double>(loss(0, 0)) - naive(h, f, rows, SimilarityForm::cosine, false)) < 1e-6);
}

TEST_CASE("S3 refuses a batch of another size, rows outside and norms of other features") {
  const auto h = random_matrix(3, 4, 1), f = random_matrix(5, 6, 2);
  const auto inverse = inverse_norms(f);
  Array<double, Cpu> few(4);
  REQUIRE_ERROR((BatchSimilarityLoss<double, Cpu>(f.view(), few.view())), "4 norms for features 5 x 6");
  BatchSimilarityLoss<double, Cpu> op(f.view(), inverse.view());
  const std::vector<index_t> two{0, 1}, outside{0, 5, 1};
  op.select(view(two));
  REQUIRE_ERROR(op.shape(h.view()), "the batch has 2 rows, H is 3 x 4");
  op.select(view(outside));
  Context<Cpu> context(1);
  Matrix<double, Cpu> loss(1, 1);
  REQUIRE_ERROR(op.forward(context, h.view(), loss.view()), "row 5 at place 1");
}

}  // namespace dream_tests::components_batch_similarity_loss
