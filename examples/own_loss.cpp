// Parts of the library on your own matrices: InfoNCE and S3 as losses, an op of your own on the tape, and a CUDA kernel
// of your own for it, which runs here on the host.
//
// A linear map W is trained so that the rows of X W point where the rows of Y do (InfoNCE), while their similarities
// stay those of X (S3) and no row grows long (the op below).
#include <cstdio>
#include <numeric>
#include <vector>

#include <dream/autograd/parameters.hpp>
#include <dream/components/batch_similarity_loss.hpp>
#include <dream/components/contrastive_alignment.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/ops/dense.hpp>
#include <dream/testing/emulated.hpp>

using namespace dream;

/// loss = sum of x_ij^2 / rows.  One block: a thread takes every 256th element, then the block adds up in a fixed
/// order.
struct SquaredLengths {
  static constexpr int threads = 256;
  struct Params {
    MatrixView<const float> x;
    float* loss;
  };
  struct Shared {
    BlockScratch<double, threads> sums;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    double sum = 0;
    for (std::int64_t e = th.thread(); e < p.x.size(); e += threads) {
      const float v = th.load_readonly(p.x.row(static_cast<index_t>(e / p.x.cols)) + e % p.x.cols);
      sum += static_cast<double>(v) * static_cast<double>(v);
    }
    sum = block_sum(th, sum, shared.sums);
    if (th.thread() == 0) th.store(p.loss, static_cast<float>(sum / p.x.rows));
  }
};

/// Its arithmetic on the host, and on every backend that runs kernels.
void squared_lengths(Context<Cpu>& context, MatrixView<const float> x, MatrixView<float> loss) {
  loss(0, 0) = static_cast<float>(dot<float>(context, x, x) / x.rows);
}
template <KernelBackend B>
void squared_lengths(Context<B>& context, MatrixView<const float> x, MatrixView<float> loss) {
  launch<SquaredLengths>(context, {x, loss.data});
}

/// L = mean over rows of |x_i|^2;  dX = 2 X / rows.  An op needs no base class: these three functions make one.
template <class B>
struct MeanSquaredLength {
  Shape shape(MatrixView<const float>) const { return {1, 1}; }

  void forward(Context<B>& context, MatrixView<const float> x, MatrixView<float> loss) {
    squared_lengths(context, x, loss);
  }

  /// `dx.beta` is 0 for the first op that writes this gradient (its old contents must not be read) and 1 for later
  /// ones. The loss's own gradient is a 1 x 1 view: on a GPU it never comes to the host.
  void backward(Context<B>& context, MatrixView<const float> x, MatrixView<const float>, MatrixView<const float> d_loss,
                GradView<float> dx) {
    if (dx.wanted()) scaled_axpby<float>(context, 2.0F / static_cast<float>(x.rows), d_loss, x, dx.beta, dx.view);
  }
};

/// The same training on any backend.
template <class B>
void train(Context<B>& context, const char* name, int steps) {
  constexpr index_t rows = 256, in = 32, out = 16;
  Matrix<float, B> x(context, rows, in), y(context, rows, out), hidden(context, in, out);
  xavier_uniform(context, x.view(), 1, 0);
  xavier_uniform(context, hidden.view(), 1, 1);
  gemm<float>(context, Op::none, Op::none, 1.0F, x.view(), hidden.view(), 0.0F, y.view());

  Parameters<float, B> parameters;
  const ParameterId w = parameters.add("W", in, out), b = parameters.add("b", 1, out);
  parameters.allocate(context);
  xavier_uniform(context, parameters.value(w), 1, 2);

  Array<float, B> inverse_norms;
  inverse_norms.resize(context, rows);
  inverse_row_norms<float>(context, x.view(), inverse_norms.view());
  std::vector<index_t> all(rows);
  std::iota(all.begin(), all.end(), 0);
  const Array<index_t, B> batch = upload<index_t>(context, all);

  Linear<float, B> linear;
  InfoNce<float, B> align({.temperature = 0.2F, .directions = Directions::both});
  BatchSimilarityLoss<float, B> similarity(x.view(), inverse_norms.view());
  MeanSquaredLength<B> length;
  WeightedSum<float, B> sum({1.0F, 0.5F, 1e-3F});
  Tape<float, B> tape(context);
  for (int step = 0; step <= steps; ++step) {
    tape.clear();
    similarity.select(batch.view());
    const Var h = tape.apply(linear, tape.constant(x.view()), parameters.on(tape, w), parameters.on(tape, b));
    const std::vector<Var> terms{tape.apply(align, h, tape.constant(y.view())), tape.apply(similarity, h),
                                 tape.apply(length, h)};
    const Var loss = tape.apply_to_all(sum, std::span<const Var>(terms));
    tape.backward(loss);
    if (step % 50 == 0) {
      const auto value = [&](Var v) { return download<float>(context, tape.value(v))(0, 0); };
      std::printf("%-8s  step %3d  loss %.4f  InfoNCE %.4f  S3 %.5f  squared length %.4f\n", name, step, value(loss),
                  value(terms[0]), value(terms[1]), value(terms[2]));
    }
    const VectorView<float> value = parameters.values(), gradient = parameters.gradients();
    const index_t count = static_cast<index_t>(value.size);
    axpby<float>(context, -0.3F, {gradient.data, 1, count, count}, 1.0F, {value.data, 1, count, count});
  }
}

int main() {
  Context<Cpu> host;
  train(host, "host", 200);
  Context<Emulated> emulated;  // Context<Cuda>, compiled by nvcc, does the same on a GPU
  train(emulated, "kernels", 50);
}
