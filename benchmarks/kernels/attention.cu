// Attention over two modalities of the rows of a batch, forward and backward, without the dense products around it,
// which are cuBLAS's. Memory bounds it: beside it a copy of as many bytes.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <dream/kernels/modality_attention.cuh>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

constexpr int modalities = 2;

struct Attention {
  Attention(Inputs& inputs, index_t b, index_t d) : pieces(Pieces::count(modalities * b)) {
    forward.hidden = inputs.uniform(modalities * b, d, -2, 2);
    forward.a0 = {inputs.uniform(1, d).data, d};
    forward.q = {inputs.uniform(1, d).data, d};
    forward.attention = inputs.matrix(modalities, b);
    forward.out = inputs.matrix(b, d);
    backward.attention = forward.attention;
    backward.d_out = inputs.uniform(b, d);
    backward.slopes = inputs.matrix(modalities, b);
    for (int m = 0; m < modalities; ++m) {
      forward.in[m] = backward.in[m] = inputs.uniform(b, d);
      backward.d_in[m].view = inputs.matrix(b, d);
    }
    d_pre = inputs.matrix(modalities * b, d);
    a0_pieces = inputs.room<float>(std::int64_t{pieces} * d);
    q_pieces = inputs.room<float>(std::int64_t{pieces} * d);
    d_a0 = inputs.values(d);
    d_q = inputs.values(d);
  }
  void run(Context<Cuda>& context) const {
    kernels::attend_modalities(context, forward);
    kernels::attend_modalities_backward(context, backward);
    launch<kernels::AttentionPreGradient<float>>(
        context, {forward.hidden, backward.slopes.data, forward.q, d_pre, a0_pieces, q_pieces});
    launch<kernels::ColumnSumFinish<float>>(context, {a0_pieces, pieces, 1, 0, d_a0});
    launch<kernels::ColumnSumFinish<float>>(context, {q_pieces, pieces, 1, 0, d_q});
  }
  void check(Context<Cuda>& context) const;

  using Pieces = kernels::ColumnSumPieces<float>;
  index_t pieces;
  kernels::AttendModalitiesArguments<float> forward{};
  kernels::AttendModalitiesBackwardArguments<float> backward{};
  MatrixView<float> d_pre;
  float *a0_pieces, *q_pieces;
  VectorView<float> d_a0, d_q;
};

/// One row of the attention in double.
struct AttentionRow {
  double share[modalities], slope[modalities];
  std::vector<double> t[modalities];
};

void Attention::check(Context<Cuda>& context) const {
  // The hidden values were written over what they are made of.
  launch<FillUniform>(context, {{forward.hidden.data, forward.hidden.size()}, 77, -2, 2});
  const index_t b = forward.out.rows, d = forward.out.cols;
  const HostRows pre(context, forward.hidden, 0, modalities * b);
  run(context);
  const HostRows a0(context, {forward.a0.data, 1, d, d}, 0, 1), q(context, {forward.q.data, 1, d, d}, 0, 1);
  const HostRows in[] = {HostRows(context, forward.in[0], 0, b), HostRows(context, forward.in[1], 0, b)};
  const HostRows d_out(context, backward.d_out, 0, b), out(context, forward.out, 0, b);
  const HostRows to_in[] = {HostRows(context, backward.d_in[0].view, 0, b),
                            HostRows(context, backward.d_in[1].view, 0, b)};
  const HostRows to_pre(context, d_pre, 0, modalities * b), hidden(context, forward.hidden, 0, modalities * b);
  const auto row_of = [&](index_t i) {
    AttentionRow row;
    double power[modalities], along[modalities] = {}, total = 0, mean = 0;
    for (int m = 0; m < modalities; ++m) {
      double score = 0;
      for (index_t j = 0; j < d; ++j) {
        row.t[m].push_back(std::tanh(pre(m * b + i, j) + a0(0, j)));
        score += row.t[m].back() * q(0, j);
        along[m] += d_out(i, j) * in[m](i, j);
      }
      total += power[m] = std::exp(score);
    }
    for (int m = 0; m < modalities; ++m) mean += (row.share[m] = power[m] / total) * along[m];
    for (int m = 0; m < modalities; ++m) row.slope[m] = row.share[m] * (along[m] - mean);
    return row;
  };
  Difference values, gradients, sums;
  std::vector<double> a0_sum(static_cast<std::size_t>(d)), q_sum(a0_sum);
  for (index_t i = 0; i < b; ++i) {
    const AttentionRow row = row_of(i);
    for (index_t j = 0; j < d; ++j) {
      const auto c = static_cast<std::size_t>(j);
      double mixed = 0;
      for (int m = 0; m < modalities; ++m) {
        const double t = row.t[m][c], slope = row.slope[m], change = slope * q(0, j) * (1 - t * t);
        mixed += row.share[m] * in[m](i, j);
        values.add(hidden(m * b + i, j), t);
        gradients.add(to_in[m](i, j), row.share[m] * d_out(i, j));
        gradients.add(to_pre(m * b + i, j), change);
        a0_sum[c] += change;
        q_sum[c] += slope * t;
      }
      values.add(out(i, j), mixed);
    }
  }
  const HostRows found_a0(context, {d_a0.data, 1, d, d}, 0, 1), found_q(context, {d_q.data, 1, d, d}, 0, 1);
  for (index_t j = 0; j < d; ++j) {
    sums.add(found_a0(0, j), a0_sum[static_cast<std::size_t>(j)]);
    sums.add(found_q(0, j), q_sum[static_cast<std::size_t>(j)]);
  }
  values.expect_below(1e-5, "the hidden values or the output");
  gradients.expect_below(1e-4, "the gradients of the rows");
  sums.expect_below(1e-3, "the gradients of a0 or q");  // sums of numbers of both signs
}

Work attention(index_t b, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const Attention a(*inputs, b, d);
  // Hidden values in and out and in again, their gradient out; the modalities in twice, their gradients out; the
  // output's gradient in, the output out; what a row has of each modality out and in twice.
  const double bytes = 4.0 * b * (modalities * 4.0 * d + modalities * 3.0 * d + 2.0 * d + modalities * 4.0);
  return memory_bound(
      inputs, bytes, [=, &context] { a.run(context); }, [=, &context] { a.check(context); });
}

}  // namespace

void add_attention_cases() {
  for (const index_t b : {2048, 8192, 65536})
    add_case("attention/" + std::to_string(b) + "x64", {"dream", "copy"}, [b] { return attention(b, 64); });
}

}  // namespace dream_benchmarks
