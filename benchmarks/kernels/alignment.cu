// InfoNCE forward and backward: one direction, loss and both gradients. Beside it the products alone that its
// operations amount to (four, by cuBLAS, a strip of the similarities at a time), and the usual way: three products and
// the softmax of a strip in memory.
#include <algorithm>
#include <memory>
#include <string>

#include <dream/kernels/contrastive_alignment.cuh>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

constexpr float temperature = 0.2F;

/// A block a row of a strip of similarities: s = exp(s) / sum - (1 on the diagonal), row_loss = log sum - s_aa.
__global__ void plain_softmax(MatrixView<float> s, index_t first, float* row_loss) {
  __shared__ float part[256];
  const auto row = static_cast<index_t>(blockIdx.x);
  const auto reduce = [&](float mine, bool largest) {
    part[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned half = 128; half > 0; half /= 2) {
      if (threadIdx.x < half) {
        const float other = part[threadIdx.x + half];
        part[threadIdx.x] = largest ? fmaxf(part[threadIdx.x], other) : part[threadIdx.x] + other;
      }
      __syncthreads();
    }
    const float all = part[0];
    __syncthreads();
    return all;
  };
  float most = -3e38F, sum = 0;
  for (auto c = static_cast<index_t>(threadIdx.x); c < s.cols; c += 256) most = fmaxf(most, s(row, c));
  most = reduce(most, true);
  for (auto c = static_cast<index_t>(threadIdx.x); c < s.cols; c += 256) sum += expf(s(row, c) - most);
  sum = reduce(sum, false);
  if (threadIdx.x == 0) row_loss[first + row] = most + logf(sum) - s(row, first + row);
  __syncthreads();
  for (auto c = static_cast<index_t>(threadIdx.x); c < s.cols; c += 256)
    s(row, c) = expf(s(row, c) - most) / sum - (c == first + row ? 1.0F : 0.0F);
}

/// What the library way works on: a strip of the similarities, at most 256 MiB.
struct Strips {
  MatrixView<const float> x, y;
  MatrixView<float> strip, dx, dy;
  float* row_loss;

  /// `similarity_products` 2 and no softmax: the products alone.
  void run(Context<Cuda>& context, int similarity_products, bool softmax) const {
    const float share = 1.0F / (temperature * static_cast<float>(x.rows));
    for (index_t first = 0; first < x.rows; first += strip.rows) {
      const index_t rows = std::min(strip.rows, x.rows - first);
      const MatrixView<float> s = strip.middle_rows(0, rows);
      const MatrixView<const float> own = x.middle_rows(first, rows);
      for (int p = 0; p < similarity_products; ++p)
        gemm<float>(context, Op::none, Op::transpose, 1 / temperature, own, y, 0.0F, s);
      if (softmax) {
        plain_softmax<<<static_cast<unsigned>(rows), 256, 0, context.stream()>>>(s, first, row_loss);
        DREAM_CUDA_TRY(cudaGetLastError());
      }
      gemm<float>(context, Op::none, Op::none, share, s, y, 0.0F, dx.middle_rows(first, rows));
      gemm<float>(context, Op::transpose, Op::none, share, s, own, first == 0 ? 0.0F : 1.0F, dy);
    }
  }
};

Work info_nce(index_t b, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  kernels::InfoNceArguments<float> a;
  a.x = inputs->unit_rows(b, d);
  // Y near X, as in training: the diagonal stands out.
  const MatrixView<float> y = inputs->unit_rows(b, d);
  launch<kernels::Axpby<float>>(context, {0.5F, nullptr, a.x, 0.5F, y});
  kernels::normalise_rows(context, kernels::NormaliseRowsArguments<float>{y, y, inputs->values(b)});
  a.y = y;
  a.temperature = temperature;
  a.loss = inputs->room<float>(1);
  a.dx = inputs->matrix(b, d);
  a.dy = inputs->matrix(b, d);
  const std::int64_t workspace = kernels::info_nce_workspace<float>(b, d, false);
  a.workspace = inputs->room<float>(workspace);

  Strips strips;
  strips.x = a.x;
  strips.y = a.y;
  strips.strip = inputs->matrix(std::min<index_t>(b, (1 << 26) / b), b);
  strips.dx = inputs->matrix(b, d);
  strips.dy = inputs->matrix(b, d);
  strips.row_loss = inputs->room<float>(b);
  Work work;
  work.inputs = inputs;
  work.contenders = {
      {"dream", [&context, a] { kernels::info_nce(context, a); }},
      {"cublas_products", [&context, strips] { strips.run(context, 2, false); }},
      {"cublas_and_softmax", [&context, strips] { strips.run(context, 1, true); }},
  };
  work.operations = 4 * 2.0 * b * b * d;
  work.bytes = 4.0 * 4 * b * d;
  work.numbers = {{"workspace_bytes", 4.0 * static_cast<double>(workspace)}};
  work.check = [&context, a, strips] {
    strips.run(context, 1, true);
    const auto rows = on_host(context, strips.row_loss, strips.x.rows);
    double loss = 0;
    for (const float row : rows) loss += static_cast<double>(row) / static_cast<double>(rows.size());
    Difference difference;
    difference.add(static_cast<double>(on_host<float>(context, a.loss, 1)[0]), loss);
    difference.expect_below(1e-5, "the loss");
    expect_close(context, "dX", a.dx, strips.dx, 1e-4);
    expect_close(context, "dY", a.dy, strips.dy, 1e-4);
  };
  return work;
}

}  // namespace

void add_alignment_cases() {
  const auto add = [](index_t b, index_t d) {
    const std::string name = "info_nce/" + std::to_string(b) + "/" + std::to_string(d);
    // The workspace, six matrices and a strip of similarities.
    const std::int64_t values = kernels::info_nce_workspace<float>(b, d, false) + std::int64_t{6} * b * d + (1 << 26);
    if (has_room(name, 4 * values))
      add_case(name, {"dream", "cublas_products", "cublas_and_softmax"}, [b, d] { return info_nce(b, d); });
  };
  for (const index_t b : {2048, 4096, 8192, 16384, 32768, 65536})
    for (const index_t d : {64, 128}) add(b, d);
  for (const index_t b : {2048, 8192, 65536})
    for (const index_t d : {32, 256}) add(b, d);
}

}  // namespace dream_benchmarks
