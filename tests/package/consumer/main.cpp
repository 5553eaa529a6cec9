// Uses the library as a consumer would: a dense product on two threads, checked against plain loops.
#include <cmath>
#include <cstdio>

#if __has_include(<dream/dream.hpp>)
#include <dream/dream.hpp>
#else
#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>
#endif

int random_word_of_second_unit();

int main() {
  dream::Context<dream::Cpu> context(2);
  dream::Matrix<double, dream::Cpu> a(7, 5), b(5, 3), c(7, 3);
  const dream::RandomStream random{42};
  for (int i = 0; i < 35; ++i) a.data()[i] = random.uniform(static_cast<unsigned>(i));
  for (int i = 0; i < 15; ++i) b.data()[i] = random.uniform(static_cast<unsigned>(100 + i));
  const auto& ca = a;
  const auto& cb = b;
  dream::gemm<double>(context, dream::Op::none, dream::Op::none, 1.0, ca.view(), cb.view(), 0.0, c.view());
  for (int i = 0; i < 7; ++i)
    for (int j = 0; j < 3; ++j) {
      double sum = 0;
      for (int p = 0; p < 5; ++p) sum += ca.view()(i, p) * cb.view()(p, j);
      if (std::abs(sum - c.view()(i, j)) > 1e-12) {
        std::printf("product differs at %d, %d: %.17g instead of %.17g\n", i, j, c.view()(i, j), sum);
        return 1;
      }
    }
  try {
    dream::gemm<double>(context, dream::Op::none, dream::Op::none, 1.0, ca.view(), ca.view(), 0.0, c.view());
  } catch (const dream::error&) {
    return random_word_of_second_unit() == static_cast<int>(random.block(0).word[0] >> 1) ? 0 : 2;
  }
  std::printf("shapes that do not fit were not refused\n");
  return 3;
}
