#include <dream/serve/recommender.hpp>

#include <Eigen/Dense>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include <dream/core/random.hpp>

#include "support/catch.hpp"

namespace dream_tests::serve_recommender {

using namespace dream;

namespace {

Matrix<float, Cpu> random_matrix(index_t rows, index_t cols, std::uint64_t seed) {
  Matrix<float, Cpu> m(rows, cols);
  const RandomStream random{seed};
  for (std::int64_t i = 0; i < m.size(); ++i)
    m.data()[i] = static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
  return m;
}

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::MatrixXd as_double(const Matrix<float, Cpu>& m) {
  return Eigen::Map<const Rows>(m.data(), m.rows(), m.cols()).cast<double>();
}

}  // namespace

TEST_CASE("a user from items alone has the vector of regularised least squares", "[recommender]") {
  const index_t items = 101, d = 13;
  const Matrix<float, Cpu> v = random_matrix(items, d, 3);
  const Eigen::MatrixXd dense = as_double(v);
  for (const double ridge : {0.5, 10.0}) {
    const Recommender<float> recommender(v.view(), ridge);
    Eigen::MatrixXd gram = dense.transpose() * dense;
    gram.diagonal().array() += ridge * gram.trace() / d;
    const std::vector<index_t> history{100, 4, 0, 63};
    Eigen::VectorXd sum = Eigen::VectorXd::Zero(d);
    for (const index_t i : history) sum += dense.row(i).transpose();
    const Eigen::VectorXd expected = gram.ldlt().solve(sum);
    std::vector<float> found(d, std::numeric_limits<float>::quiet_NaN());
    recommender.user_vector(history, found.data());
    for (index_t j = 0; j < d; ++j)
      CHECK(found[static_cast<std::size_t>(j)] == Approx(expected[j]).epsilon(1e-5).margin(1e-8));

    const Eigen::VectorXd scores = dense * expected;
    const auto list = recommender.recommend(history, 20);
    REQUIRE(list.size() == 20);
    std::set<index_t> had(history.begin(), history.end());
    for (std::size_t r = 0; r < list.size(); ++r) {
      CHECK(had.insert(list[r].index).second);
      CHECK(static_cast<double>(list[r].value) == Approx(scores[list[r].index]).epsilon(1e-4).margin(1e-6));
      if (r > 0) CHECK(!ranks_before(list[r], list[r - 1]));
    }
    for (index_t i = 0; i < items; ++i)
      if (had.count(i) == 0) CHECK(scores[i] <= static_cast<double>(list.back().value) + 1e-5);
  }
}

TEST_CASE("a list ends where no item is left, and ties go to the smaller item", "[recommender]") {
  Matrix<float, Cpu> v(4, 1);
  v(0, 0) = 1;
  v(1, 0) = 3;
  v(2, 0) = 3;
  v(3, 0) = 2;
  const Recommender<float> recommender(v.view());
  const float user = 2;
  const std::vector<index_t> without{3};
  const auto list = recommender.recommend(&user, without, 10);
  REQUIRE(list.size() == 3);
  CHECK(list[0].index == 1);
  CHECK(list[1].index == 2);
  CHECK(list[2].index == 0);
  CHECK(list[0].value == 6);
}

TEST_CASE("several threads get what one gets", "[recommender]") {
  const Matrix<float, Cpu> v = random_matrix(300, 16, 8);
  const Recommender<float> recommender(v.view());
  const auto list_of = [&](index_t u) {
    const std::vector<index_t> history{u, (u * 7 + 1) % 300};
    return recommender.recommend(history, 10);
  };
  std::atomic<int> different{0};
  std::vector<std::vector<Scored<float>>> expected;
  for (index_t u = 0; u < 100; ++u) expected.push_back(list_of(u));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (index_t u = 0; u < 100; ++u) {
        const auto list = list_of(u);
        for (std::size_t r = 0; r < list.size(); ++r)
          if (list[r].index != expected[static_cast<std::size_t>(u)][r].index) ++different;
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(different == 0);
}

TEST_CASE("what a recommender cannot serve is an error that names it", "[recommender]") {
  Matrix<float, Cpu> v = random_matrix(5, 2, 1);
  const Recommender<float> recommender(v.view());
  const std::vector<index_t> none, beyond{5};
  float user[2] = {1, 1};
  REQUIRE_ERROR(recommender.user_vector(none, user), "a user without items");
  REQUIRE_ERROR(recommender.user_vector(beyond, user), "item 5 of 5");
  REQUIRE_ERROR(recommender.recommend(user, beyond, 1), "item 5 of 5");
  REQUIRE_ERROR(recommender.recommend(user, none, 0), "k is 0");
  v(3, 1) = std::numeric_limits<float>::infinity();
  REQUIRE_ERROR(Recommender<float>(v.view()), "the vector of item 3 is not finite");
}

TEST_CASE("an item with features gets the mean of its nearest items, and one without stays", "[recommender]") {
  const index_t items = 60, d = 5;
  Context<Cpu> context(2);
  std::vector<Modality> modalities(2);
  const RandomStream random{11};
  std::uint64_t draw = 0;
  for (std::size_t m = 0; m < 2; ++m) {
    modalities[m].name = m == 0 ? "image" : "text";
    modalities[m].rows = items;
    modalities[m].cols = m == 0 ? 7 : 4;
    for (index_t i = 0; i < items; ++i) {
      const bool present = i != 59 && (m == 0 || i % 4 != 1);
      modalities[m].present.push_back(present);
      for (index_t j = 0; j < modalities[m].cols; ++j)
        modalities[m].values.push_back(present ? static_cast<float>(random.normal(draw++)) : 0.0F);
    }
  }
  std::vector<std::uint8_t> placed(items, 1);
  for (const index_t i : {3, 17, 41, 59}) placed[static_cast<std::size_t>(i)] = 0;
  Matrix<float, Cpu> v = random_matrix(items, d, 12), before = random_matrix(items, d, 12);
  CHECK(place_by_features<float>(context, modalities, placed, v.view(), 4) == std::vector<index_t>{3, 17, 41});
  for (index_t i = 0; i < items; ++i) {
    std::vector<double> expected(d);
    if (placed[static_cast<std::size_t>(i)] || i == 59) {
      for (index_t j = 0; j < d; ++j) CHECK(v(i, j) == before(i, j));
      continue;
    }
    std::vector<std::pair<double, index_t>> near;
    for (index_t o = 0; o < items; ++o) {
      if (!placed[static_cast<std::size_t>(o)]) continue;
      double sum = 0, shared = 0;
      for (const Modality& m : modalities) {
        if (!m.present[static_cast<std::size_t>(i)] || !m.present[static_cast<std::size_t>(o)]) continue;
        const auto row = [&](index_t r) {
          return Eigen::Map<const Eigen::VectorXf>(m.features().row(r), m.cols).cast<double>().normalized().eval();
        };
        sum += row(i).dot(row(o));
        shared += 1;
      }
      if (shared > 0 && sum > 0) near.emplace_back(-sum / shared, o);
    }
    std::sort(near.begin(), near.end());
    near.resize(std::min<std::size_t>(near.size(), 4));
    double total = 0;
    for (const auto& [value, o] : near) total -= value;
    for (const auto& [value, o] : near)
      for (index_t j = 0; j < d; ++j)
        expected[static_cast<std::size_t>(j)] -= value / total * static_cast<double>(before(o, j));
    for (index_t j = 0; j < d; ++j)
      CHECK(v(i, j) == Approx(expected[static_cast<std::size_t>(j)]).epsilon(1e-4).margin(1e-5));
  }
}

}  // namespace dream_tests::serve_recommender
