#include <dream/train/adam.hpp>

#include <cmath>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::train_adam {

using namespace dream;
using dream_test::random_matrix;

namespace {

/// The paper's update in double, with both corrections written out.
struct Reference {
  std::vector<double> p, m, v;
  int t = 0;
  explicit Reference(std::vector<double> start) : p(std::move(start)), m(p.size()), v(p.size()) {}
  void step(const std::vector<double>& g, double rate) {
    ++t;
    for (std::size_t k = 0; k < p.size(); ++k) {
      m[k] = 0.9 * m[k] + 0.1 * g[k];
      v[k] = 0.999 * v[k] + 0.001 * g[k] * g[k];
      const double m_hat = m[k] / (1 - std::pow(0.9, t)), v_hat = v[k] / (1 - std::pow(0.999, t));
      p[k] -= rate * m_hat / (std::sqrt(v_hat) + 1e-8);
    }
  }
};

template <class T>
double worst(VectorView<const T> found, const std::vector<double>& expected) {
  double most = 0;
  for (std::size_t k = 0; k < expected.size(); ++k) {
    const double d = std::abs(static_cast<double>(found[static_cast<std::int64_t>(k)]) - expected[k]);
    most = std::max(most, d == d ? d : 1e300);
  }
  return most;
}

}  // namespace

TEST_CASE("Adam over flat parameters follows the double reference for many steps, factors of the rate included") {
  for (const index_t size : {1, 15, 64, 20000}) {
    Context<Cpu> context(2);
    Parameters<double, Cpu> p;
    const ParameterId id = p.add("p", size, 1);
    p.allocate(context);
    Parameters<float, Cpu> p32;
    const ParameterId id32 = p32.add("p", size, 1);
    p32.allocate(context);
    std::vector<double> start;
    for (index_t k = 0; k < size; ++k) {
      const double value = random_matrix(1, 1, static_cast<std::uint64_t>(k))(0, 0);
      start.push_back(static_cast<double>(static_cast<float>(value)));
      p.value(id)(k, 0) = start.back();
      p32.value(id32)(k, 0) = static_cast<float>(value);
    }
    Reference reference(start);
    Adam<double, Cpu> adam(context, p, {}, {.learning_rate = 0.01});
    Adam<float, Cpu> adam32(context, p32, {}, {.learning_rate = 0.01});
    for (int t = 0; t < 20; ++t) {
      std::vector<double> g;
      const RandomStream random{99, RandomUse::user, static_cast<std::uint32_t>(t)};
      for (index_t k = 0; k < size; ++k) {
        const double scale = k % 3 == 0 ? 1e-9 : k % 3 == 1 ? 1 : 1e6;  // below epsilon, middling, huge
        g.push_back(k % 10 == 9 ? 0.0 : scale * random.normal(static_cast<std::uint64_t>(k)));
        p.gradient(id)(k, 0) = g.back();
        p32.gradient(id32)(k, 0) = static_cast<float>(g.back());
      }
      const double factor = t < 10 ? 1.0 : 0.3;
      adam.step(context, factor);
      adam32.step(context, factor);
      reference.step(g, 0.01 * factor);
    }
    CHECK(adam.steps() == 20);
    CHECK(worst<double>(p.values(), reference.p) < 1e-12);
    CHECK(worst<float>(p32.values(), reference.p) < 1e-5);
    for (std::int64_t k = size; k < p.values().size; ++k) CHECK(p.values()[k] == 0.0);  // padding stays
  }
}

TEST_CASE(
    "Adam on a large parameter is Adam on the product of its gradient's factors, at every shape, on any threads") {
  for (const index_t rows : {1, 5, 6, 7, 121, 300})
    for (const index_t cols : {1, 15, 64, 65, 700})
      for (const index_t d : {1, 16, 65}) {
        if (rows > 7 && cols == 15) continue;
        INFO(rows << " x " << cols << " from factors of " << d << " columns");
        const auto left = random_matrix(rows, d, 1), right = random_matrix(cols, d, 2);
        std::vector<double> g(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
        for (index_t i = 0; i < rows; ++i)
          for (index_t j = 0; j < cols; ++j)
            for (index_t c = 0; c < d; ++c) g[static_cast<std::size_t>(i * cols + j)] += left(i, c) * right(j, c);
        const auto start = random_matrix(rows, cols, 3);
        Reference reference({start.data(), start.data() + start.size()});
        std::vector<LargeParameter<double, Cpu>> large(1), again(1);
        for (auto* one : {&large, &again}) {
          (*one)[0].name = "z";
          (*one)[0].value = random_matrix(rows, cols, 3);
          (*one)[0].left = left.view();
          (*one)[0].right = right.view();
        }
        Parameters<double, Cpu> none;
        Context<Cpu> one(1), three(3);
        none.allocate(one);
        Adam<double, Cpu> adam(one, none, large, {}), adam_again(three, none, again, {});
        for (int t = 0; t < 3; ++t) {
          adam.step(one);
          adam_again.step(three);
          reference.step(g, 1e-3);
        }
        CHECK(worst<double>({large[0].value.data(), large[0].value.size()}, reference.p) < 1e-11);
        CHECK(std::equal(large[0].value.data(), large[0].value.data() + start.size(), again[0].value.data()));
      }
}

TEST_CASE("Factors that do not fit the large parameter are an error with all three shapes") {
  std::vector<LargeParameter<float, Cpu>> large(1);
  large[0].value = random_matrix<float>(4, 3, 1);
  const auto left = random_matrix<float>(4, 2, 1), right = random_matrix<float>(4, 2, 1);
  large[0].left = left.view();
  large[0].right = right.view();
  Parameters<float, Cpu> none;
  Context<Cpu> context(1);
  none.allocate(context);
  Adam<float, Cpu> adam(context, none, large, {});
  REQUIRE_ERROR(adam.step(context), "large parameter 4 x 3: its gradient's factors are 4 x 2 and 4 x 2");
}

}  // namespace dream_tests::train_adam
