#include <dream/autograd/parameters.hpp>

#include <cmath>
#include <set>

#include "support/catch.hpp"

namespace dream_tests::autograd_parameters {

using namespace dream;

TEST_CASE("Parameters lie on cache lines of one flat buffer, zero at first, with gradients of the same layout") {
  Parameters<float, Cpu> p;
  const ParameterId a = p.add("a", 3, 5), b = p.add("b", 1, 1), none = p.add("none", 0, 4), c = p.add("c", 2, 16);
  REQUIRE_ERROR(p.value(a), "parameter a is used before allocate()");
  REQUIRE_ERROR(p.add("b", 2, 2), "already is a parameter b");
  Context<Cpu> context;
  p.allocate(context);
  REQUIRE_ERROR(p.add("late", 1, 1), "parameter late comes after allocate()");
  CHECK(p.count() == 4);
  for (const ParameterId id : {a, b, c}) {
    CHECK((p.value(id).data - p.values().data) % 16 == 0);
    CHECK(p.value(id).data - p.values().data == p.gradient(id).data - p.gradients().data);
  }
  CHECK(p.value(b).data >= p.value(a).data + 15);
  CHECK(p.value(none).rows == 0);
  for (const float v : p.values()) CHECK(v == 0.0f);
  for (const float v : p.gradients()) CHECK(v == 0.0f);
  CHECK(p.by_name("c").index == c.index);
  CHECK_FALSE(p.by_name("d").valid());
  REQUIRE_ERROR(p.value({7}), "no parameter with number 7");
  REQUIRE_ERROR(p.value({}), "no parameter with number -1");
}

TEST_CASE("Xavier-uniform values fill their interval evenly, and differ by seed and by matrix") {
  Matrix<float, Cpu> m(200, 64), again(200, 64), seed(200, 64), step(200, 64);
  xavier_uniform(m.view(), 1, 0);
  xavier_uniform(again.view(), 1, 0);
  xavier_uniform(seed.view(), 2, 0);
  xavier_uniform(step.view(), 1, 1);
  CHECK(std::equal(m.data(), m.data() + m.size(), again.data()));
  const double bound = std::sqrt(6.0 / 264);
  double sum = 0, squares = 0;
  std::set<float> distinct;
  int same_seed = 0, same_step = 0;
  for (std::int64_t k = 0; k < m.size(); ++k) {
    const double v = static_cast<double>(m.data()[k]);
    REQUIRE(std::abs(v) <= bound);
    sum += v;
    squares += v * v;
    distinct.insert(m.data()[k]);
    same_seed += m.data()[k] == seed.data()[k];
    same_step += m.data()[k] == step.data()[k];
  }
  const double n = static_cast<double>(m.size());
  CHECK(std::abs(sum / n) < 4 * bound / std::sqrt(3 * n));
  CHECK(squares / n == Approx(bound * bound / 3).epsilon(0.03));
  CHECK(distinct.size() > 12700);
  CHECK(same_seed < 10);
  CHECK(same_step < 10);
}

}  // namespace dream_tests::autograd_parameters
