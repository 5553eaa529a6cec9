#include <dream/components/gated_modal_encoder.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::components_gated_modal_encoder {

using namespace dream;
using dream_test::random_matrix;

TEST_CASE("Both filter gates keep the contract of an op at every size") {
  for (const index_t rows : {1, 2, 31, 33, 129, 257})
    for (const index_t d : {1, 5, 16, 64, 65}) {
      INFO(rows << " rows, " << d << " columns");
      const auto x = random_matrix(rows, d, 1, 6), e = random_matrix(rows, d, 2, 4);
      const auto w = random_matrix(d, d, 3), b = random_matrix(1, d, 4);
      IdentityGate<double, Cpu> identity;
      const OpReport of_identity =
          check_op(identity, {x.view(), e.view(), w.view(), b.view()}, {.entries = rows * d > 2000 ? 2 : 8});
      INFO(of_identity.text());
      CHECK(of_identity.ok());
      SelfGate<double, Cpu> self;
      const OpReport of_self = check_op(self, {x.view(), w.view(), b.view()}, {.entries = rows * d > 2000 ? 2 : 8});
      INFO(of_self.text());
      CHECK(of_self.ok());
    }
}

TEST_CASE("A gate that is wide open or shut stays finite, in float too") {
  Context<Cpu> context(1);
  Matrix<float, Cpu> x(2, 8), e(2, 8), w(8, 8), b(1, 8), h(2, 8), dh(2, 8), dx(2, 8), de(2, 8), dw(8, 8), db(1, 8);
  x.fill(100);
  e.fill(3);
  dh.fill(1);
  b.fill(0);
  w.fill(0);
  for (index_t j = 0; j < 8; ++j) w(j, j) = j % 2 ? 1e4f : -1e4f;
  IdentityGate<float, Cpu> op;
  op.forward(context, x.view(), e.view(), w.view(), b.view(), h.view());
  op.backward(context, x.view(), e.view(), w.view(), b.view(), h.view(), dh.view(), {dx.view(), 0, true},
              {de.view(), 0, true}, {dw.view(), 0, true}, {db.view(), 0, true});
  for (index_t j = 0; j < 8; ++j) {
    CHECK(std::abs(h(0, j) - (j % 2 ? 3.0f : 0.0f)) < 1e-6f);
    CHECK(std::abs(de(1, j) - (j % 2 ? 1.0f : 0.0f)) < 1e-6f);
    CHECK(std::abs(dx(0, j)) < 1e-6f);
    CHECK(std::isfinite(dw(j, j)));
    CHECK(std::abs(db(0, j)) < 1e-6f);
  }
}

TEST_CASE("Gates in float follow those in double") {
  const index_t rows = 200, d = 64;
  Context<Cpu> context(2);
  const auto x = random_matrix(rows, d, 1), e = random_matrix(rows, d, 2), w = random_matrix(d, d, 3);
  const auto x32 = random_matrix<float>(rows, d, 1), e32 = random_matrix<float>(rows, d, 2),
             w32 = random_matrix<float>(d, d, 3);
  const auto b = random_matrix(1, d, 4);
  const auto b32 = random_matrix<float>(1, d, 4);
  Matrix<double, Cpu> h(rows, d);
  Matrix<float, Cpu> h32(rows, d);
  IdentityGate<double, Cpu> op;
  IdentityGate<float, Cpu> op32;
  op.forward(context, x.view(), e.view(), w.view(), b.view(), h.view());
  op32.forward(context, x32.view(), e32.view(), w32.view(), b32.view(), h32.view());
  for (std::int64_t k = 0; k < h.size();
       ++k)  // the gate's argument, about 8, is off by some 1e-6, its slope at most 1/4
    REQUIRE(std::abs(h.data()[k] - static_cast<double>(h32.data()[k])) < 1e-5);
}

TEST_CASE("Gates refuse shapes that do not fit and name them all") {
  const auto x = random_matrix(3, 4, 1), ego = random_matrix(2, 4, 1), w = random_matrix(4, 4, 2),
             b = random_matrix(1, 4, 3);
  REQUIRE_ERROR((IdentityGate<double, Cpu>().shape(x.view(), ego.view(), w.view(), b.view())),
                "X is 3 x 4, E is 2 x 4, W2 is 4 x 4, b2 is 1 x 4");
  REQUIRE_ERROR((SelfGate<double, Cpu>().shape(x.view(), ego.view(), b.view())), "W2 is 2 x 4");
}

}  // namespace dream_tests::components_gated_modal_encoder
