// Uses the CUDA part as a consumer would: a kernel of its own and a product on the GPU, or the sentence why there is
// none.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <dream/cuda/cuda.cuh>
#include <dream/dream.hpp>

int random_word_of_second_unit();
std::string sentence_of_cuda_unit();

struct Square {
  static constexpr int threads = 128;
  struct Params {
    dream::VectorView<float> x;
  };
  struct Shared {};
  static int grid(const Params& p) { return static_cast<int>((p.x.size + threads - 1) / threads); }
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const std::int64_t i = std::int64_t{th.block()} * threads + th.thread();
    if (i < p.x.size) p.x[i] *= p.x[i];
  }
};

int main() {
  if (random_word_of_second_unit() != static_cast<int>(dream::RandomStream{42}.block(0).word[0] >> 1)) return 1;
  std::string why;
  if (!dream::cuda_is_usable(&why)) {
    std::printf("%s\n", why.c_str());
    try {
      const dream::Context<dream::Cuda> context;
    } catch (const dream::error& e) {
      return e.what() == why && sentence_of_cuda_unit() == why ? 0 : 2;
    }
    return 3;
  }
  dream::Context<dream::Cuda> context;
  const std::vector<float> host{1, 2, 3, 4};
  auto x = dream::upload<float>(context, std::span<const float>(host));
  dream::launch<Square>(context, {x.view()});
  dream::Matrix<float, dream::Cuda> product(context, 2, 2);
  const dream::MatrixView<const float> squares{x.data(), 2, 2, 2};
  dream::gemm<float>(context, dream::Op::none, dream::Op::transpose, 1, squares, squares, 0, product.view());
  float found[4];
  context.download(product.data(), found, sizeof found);
  return found[0] == 17 && found[1] == 73 && found[2] == 73 && found[3] == 337 ? 0 : 4;
}
