// S3 forward and backward: gather and scale the raw features of the batch, the trace form's products, loss and
// gradient. Beside it its products alone by cuBLAS, and, where b x b matrices are small, the plain way that stores
// them.
#include <algorithm>
#include <memory>
#include <string>

#include <dream/kernels/batch_similarity_loss.cuh>
#include <dream/kernels/dense.cuh>
#include <dream/kernels/moment_distance.cuh>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

/// S3 of unit rows A (b x d) to the features of the batch's items.
struct Similarity {
  MatrixView<const float> a, features;
  VectorView<const float> inverse_norms;
  VectorView<const index_t> rows;
  MatrixView<float> c, cross, gram, da;
  double *constant, *norm_workspace, *workspace;
  float *loss, *slope;

  void products(Context<Cuda>& context) const {
    gemm<float>(context, Op::transpose, Op::none, 1.0F, c, a, 0.0F, cross);
    gemm<float>(context, Op::transpose, Op::none, 1.0F, a, a, 0.0F, gram);
    gemm<float>(context, Op::none, Op::none, 1.0F, a, gram, 0.0F, da);
    gemm<float>(context, Op::none, Op::none, -1.0F, c, cross, 1.0F, da);
  }
  void combine(Context<Cuda>& context) const {
    kernels::combine_similarity(context, kernels::CombineSimilarityArguments<float>{gram, cross, constant, a.rows,
                                                                                    false, loss, slope, workspace});
  }
  void run(Context<Cuda>& context) const {
    launch<kernels::GatherFeatures<float>>(context, {features, inverse_norms.data, rows, c});
    kernels::sampled_target_norm(context,
                                 kernels::SampledTargetNormArguments<float>{
                                     {features, inverse_norms.data, rows, 999, 0, nullptr}, constant, norm_workspace});
    products(context);
    combine(context);
    launch<kernels::Axpby<float>>(context, {1.0F, slope, da, 0.0F, da});
  }
};

/// The plain way: D = A A^T - C C^T stored, dA = 4 / b^2 D A.
struct StoredSimilarity {
  MatrixView<float> difference, da;

  void run(Context<Cuda>& context, const Similarity& s) const {
    const auto b = static_cast<float>(s.a.rows);
    launch<kernels::GatherFeatures<float>>(context, {s.features, s.inverse_norms.data, s.rows, s.c});
    gemm<float>(context, Op::none, Op::transpose, 1.0F, s.c, s.c, 0.0F, difference);
    gemm<float>(context, Op::none, Op::transpose, 1.0F, s.a, s.a, -1.0F, difference);
    gemm<float>(context, Op::none, Op::none, 4 / (b * b), difference, s.a, 0.0F, da);
  }
};

double sum_of_squares(Context<Cuda>& context, MatrixView<const float> m) {
  double sum = 0;
  for (const float value : on_host(context, m.data, m.size()))
    sum += static_cast<double>(value) * static_cast<double>(value);
  return sum;
}

void check(Context<Cuda>& context, const Similarity& s, const StoredSimilarity& stored) {
  const double sampled = on_host<double>(context, s.constant, 1)[0], b = s.a.rows;
  stored.run(context, s);
  expect_close(context, "dA", s.da, stored.da, 1e-3);
  const double loss = sum_of_squares(context, stored.difference) / (b * b);
  gemm<float>(context, Op::none, Op::transpose, 1.0F, s.c, s.c, 0.0F, stored.difference);
  const double exact = sum_of_squares(context, stored.difference);
  Difference constant, total;
  constant.add(sampled, exact);
  constant.expect_below(0.2, "the sampled |C C^T|^2");  // 1024 pairs
  context.upload(&exact, s.constant, sizeof exact);
  s.combine(context);
  total.add(static_cast<double>(on_host<float>(context, s.loss, 1)[0]), loss);
  total.expect_below(1e-3, "the loss");
}

Work s3(index_t b, index_t d, index_t feature_dim) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const index_t items = 7050;
  Similarity s;
  s.a = inputs->unit_rows(b, d);
  s.features = inputs->uniform(items, feature_dim, -0.5F, 1);
  const VectorView<float> inverse = inputs->values(items);
  kernels::inverse_row_norms<Context<Cuda>, float>(context, s.features, inverse);
  s.inverse_norms = inverse;
  s.rows = inputs->rows(b, items);
  s.c = inputs->matrix(b, feature_dim);
  s.cross = inputs->matrix(feature_dim, d);
  s.gram = inputs->matrix(d, d);
  s.da = inputs->matrix(b, d);
  s.constant = inputs->room<double>(1);
  s.norm_workspace = inputs->room<double>(kernels::sampled_target_norm_workspace());
  s.workspace = inputs->room<double>(kernels::combine_similarity_workspace());
  s.loss = inputs->room<float>(1);
  s.slope = inputs->room<float>(1);
  Work work;
  work.inputs = inputs;
  work.contenders = {{"dream", [&context, s] { s.run(context); }},
                     {"cublas_products", [&context, s] { s.products(context); }}};
  work.operations = 4.0 * b * d * (feature_dim + d);
  work.bytes = 4.0 * (3.0 * b * feature_dim + 3.0 * b * d);  // gather: read and written; read by both products
  if (b <= 8192) {
    const StoredSimilarity stored{inputs->matrix(b, b), inputs->matrix(b, d)};
    work.contenders.push_back({"cublas_stored", [&context, s, stored] { stored.run(context, s); }});
    work.check = [&context, s, stored] { check(context, s, stored); };
  } else {
    const MatrixView<float> scaled = inputs->matrix(b, d);
    work.check = [&context, s, scaled] {
      launch<kernels::Axpby<float>>(context, {1.0F, nullptr, s.da, 0.0F, scaled});
      s.products(context);
      const float slope = 4 / (static_cast<float>(s.a.rows) * static_cast<float>(s.a.rows));
      launch<kernels::Axpby<float>>(context, {slope, nullptr, s.da, 0.0F, s.da});
      expect_close(context, "dA", scaled, s.da, 1e-5);
    };
  }
  return work;
}

Work moments(index_t b, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  kernels::MomentDistanceArguments<float> a;
  a.x = inputs->uniform(b, d);
  a.y = inputs->uniform(b, d, -0.5F, 1);
  a.loss = inputs->room<float>(1);
  a.dx = inputs->matrix(b, d);
  a.dy = inputs->matrix(b, d);
  a.workspace = inputs->room<double>(kernels::moment_distance_workspace(b, d));
  Work work;
  work.inputs = inputs;
  work.bytes = 16.0 * b * d;
  work.contenders = {{"dream", [&context, a] { kernels::moment_distance(context, a); }}, copy_of(*inputs, work.bytes)};
  work.check = [&context, a] {
    const HostRows x(context, a.x, 0, a.x.rows), y(context, a.y, 0, a.y.rows);
    const HostRows dx(context, a.dx, 0, 64), dy(context, a.dy, 0, 64);
    const double rows = a.x.rows, cols = a.x.cols;
    const auto sign = [](double v) { return v > 0 ? 1.0 : v < 0 ? -1.0 : 0.0; };
    double loss = 0;
    Difference gradients, total;
    for (index_t j = 0; j < a.x.cols; ++j) {
      double mean[2] = {}, variance[2] = {};
      for (index_t i = 0; i < a.x.rows; ++i) {
        mean[0] += x(i, j) / rows;
        mean[1] += y(i, j) / rows;
      }
      for (index_t i = 0; i < a.x.rows; ++i) {
        variance[0] += (x(i, j) - mean[0]) * (x(i, j) - mean[0]) / (rows - 1);
        variance[1] += (y(i, j) - mean[1]) * (y(i, j) - mean[1]) / (rows - 1);
      }
      loss += (std::abs(mean[0] - mean[1]) + std::abs(variance[0] - variance[1])) / cols;
      const double first = sign(mean[0] - mean[1]) / rows, second = sign(variance[0] - variance[1]) * 2 / (rows - 1);
      for (index_t i = 0; i < 64; ++i) {
        gradients.add(dx(i, j), (first + second * (x(i, j) - mean[0])) / cols);
        gradients.add(dy(i, j), -(first + second * (y(i, j) - mean[1])) / cols);
      }
    }
    total.add(static_cast<double>(on_host<float>(context, a.loss, 1)[0]), loss);
    total.expect_below(1e-5, "the loss");
    gradients.expect_below(1e-4, "the gradients");
  };
  return work;
}

}  // namespace

void add_similarity_cases() {
  for (const index_t b : {2048, 8192, 65536})
    for (const index_t feature_dim : {384, 4096}) {
      std::vector<std::string> who{"dream", "cublas_products"};
      if (b <= 8192) who.push_back("cublas_stored");
      add_case("s3/" + std::to_string(b) + "/" + std::to_string(feature_dim), who,
               [=] { return s3(b, 64, feature_dim); });
    }
  for (const index_t b : {2048, 65536})
    add_case("moments/" + std::to_string(b) + "/64", {"dream", "copy"}, [b] { return moments(b, 64); });
}

}  // namespace dream_benchmarks
