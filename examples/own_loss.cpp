// Parts of the library on your own matrices: InfoNCE and S3 as losses, and an op of your own on the tape.
//
// A linear map W is trained so that the rows of X W point where the rows of Y do (InfoNCE), while their similarities
// stay those of X (S3) and no row grows long (the op below).
#include <cstdio>
#include <numeric>
#include <vector>

#include <dream/autograd/parameters.hpp>
#include <dream/components/batch_similarity_loss.hpp>
#include <dream/components/contrastive_alignment.hpp>
#include <dream/ops/dense.hpp>

using namespace dream;

/// L = mean over rows of |x_i|^2;  dX = 2 X / rows.  An op needs no base class: these three functions make one.
struct MeanSquaredLength {
  Shape shape(MatrixView<const float>) const { return {1, 1}; }

  void forward(Context<Cpu>&, MatrixView<const float> x, MatrixView<float> loss) {
    float sum = 0;
    for (index_t i = 0; i < x.rows; ++i)
      for (index_t j = 0; j < x.cols; ++j) sum += x(i, j) * x(i, j);
    loss(0, 0) = sum / static_cast<float>(x.rows);
  }

  /// `dx.beta` is 0 for the first op that writes this gradient (its old contents must not be read) and 1 for later
  /// ones.
  void backward(Context<Cpu>&, MatrixView<const float> x, MatrixView<const float>, MatrixView<const float> d_loss,
                GradView<float> dx) {
    if (!dx.wanted()) return;
    const float scale = 2 * d_loss(0, 0) / static_cast<float>(x.rows);
    for (index_t i = 0; i < x.rows; ++i)
      for (index_t j = 0; j < x.cols; ++j) dx.view(i, j) = (dx.beta == 0 ? 0.0F : dx.view(i, j)) + scale * x(i, j);
  }
};

int main() {
  constexpr index_t rows = 256, in = 32, out = 16;
  Context<Cpu> context;
  Matrix<float, Cpu> x(rows, in), y(rows, out), hidden(in, out);
  xavier_uniform(x.view(), 1, 0);
  xavier_uniform(hidden.view(), 1, 1);
  gemm<float>(context, Op::none, Op::none, 1.0F, x.view(), hidden.view(), 0.0F, y.view());

  Parameters<float, Cpu> parameters;
  const ParameterId w = parameters.add("W", in, out), b = parameters.add("b", 1, out);
  parameters.allocate();
  xavier_uniform(parameters.value(w), 1, 2);

  Array<float, Cpu> inverse_norms(rows);
  inverse_row_norms<float>(context, x.view(), inverse_norms.view());
  std::vector<index_t> all(rows);
  std::iota(all.begin(), all.end(), 0);

  Linear<float, Cpu> linear;
  InfoNce<float, Cpu> align({.temperature = 0.2F, .directions = Directions::both});
  BatchSimilarityLoss<float, Cpu> similarity(x.view(), inverse_norms.view());
  WeightedSum<float, Cpu> sum({1.0F, 0.5F, 1e-3F});
  Tape<float, Cpu> tape(context);
  for (int step = 0; step <= 200; ++step) {
    tape.clear();
    similarity.select({all.data(), rows});
    const Var h = tape.apply(linear, tape.constant(x.view()), parameters.on(tape, w), parameters.on(tape, b));
    const std::vector<Var> terms{tape.apply(align, h, tape.constant(y.view())), tape.apply(similarity, h),
                                 tape.apply(MeanSquaredLength{}, h)};
    const Var loss = tape.apply_to_all(sum, std::span<const Var>(terms));
    tape.backward(loss);
    if (step % 50 == 0)
      std::printf("step %3d  loss %.4f  InfoNCE %.4f  S3 %.5f  squared length %.4f\n", step, tape.value(loss)(0, 0),
                  tape.value(terms[0])(0, 0), tape.value(terms[1])(0, 0), tape.value(terms[2])(0, 0));
    const VectorView<float> value = parameters.values(), gradient = parameters.gradients();
    for (std::int64_t i = 0; i < value.size; ++i) value[i] -= 0.3F * gradient[i];
  }
}
