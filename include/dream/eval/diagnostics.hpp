// What goes wrong inside multimodal models (docs/components.md, 8): modal embeddings that forget their features,
// domains that point elsewhere, and how the representations lie on the sphere.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dream/backend/algebra.hpp>
#include <dream/backend/features.hpp>
#include <dream/core/random.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>

namespace dream {

/// How far two representations of the same entities point apart. Entities that have a zero row in either are left out.
struct Misalignment {
  static constexpr int bins = 20;  ///< of equal width over the cosines -1 .. 1

  double mean_cosine = 0;
  std::array<std::int64_t, bins> histogram{};
  std::int64_t entities = 0;
};

/// The cosines of the rows of X with the same rows of Y, both in host memory.
template <class T>
Misalignment misalignment(MatrixView<const T> x, MatrixView<const T> y) {
  DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols, "misalignment: X is ", shape(x), ", Y is ", shape(y));
  Misalignment found;
  double sum = 0;
  for (index_t i = 0; i < x.rows; ++i) {
    double xy = 0, xx = 0, yy = 0;
    for (index_t j = 0; j < x.cols; ++j) {
      const double a = static_cast<double>(x(i, j)), b = static_cast<double>(y(i, j));
      xy += a * b;
      xx += a * a;
      yy += b * b;
    }
    if (xx == 0 || yy == 0) continue;
    const double cosine = xy / (std::sqrt(xx) * std::sqrt(yy));
    const int bin = static_cast<int>(std::floor((cosine + 1) / 2 * Misalignment::bins));
    ++found.histogram[static_cast<std::size_t>(std::clamp(bin, 0, Misalignment::bins - 1))];
    ++found.entities;
    sum += cosine;
  }
  found.mean_cosine = found.entities > 0 ? sum / static_cast<double>(found.entities) : 0.0;
  return found;
}

/// Modal information forgetting: the mean over the items that have the modality of 1 - cos(z_i, f_i), the modal
/// embeddings Z against the features F. 0 where no item has it; a zero row of Z has cosine 0. Waits for the answer.
template <class T, class B>
double modal_forgetting(Context<B>& context, MatrixView<const T> z, const ModalityData<T, B>& modality) {
  const FeatureView<T> f = modality.features.view();
  DREAM_EXPECT(z.rows == f.rows && z.cols == f.cols, "forgetting: Z is ", shape(z), ", F is ", shape(f));
  constexpr std::int64_t most = std::int64_t{1} << 22;  // values at a time
  const index_t piece = static_cast<index_t>(
      std::clamp<std::int64_t>(most / std::max<index_t>(z.cols, 1), 1, std::max<index_t>(z.rows, 1)));
  Matrix<T, B> unit_z, unit_f;
  unit_z.resize(context, piece, z.cols);
  unit_f.resize(context, piece, z.cols);
  Array<T, B> inverse;
  inverse.resize(context, piece);
  double cosines = 0;
  for (index_t first = 0; first < z.rows; first += piece) {
    const index_t count = std::min(piece, z.rows - first);
    const MatrixView<T> a = unit_z.view().middle_rows(0, count), b = unit_f.view().middle_rows(0, count);
    normalise_rows<T>(context, z.middle_rows(first, count), a, {inverse.data(), count});
    gather_features<T>(context, f.middle_rows(first, count), {modality.inverse_norms.data() + first, count}, {}, b);
    if constexpr (KernelBackend<B>) {
      double part = 0;
      double* sum = context.template scratch<double>(1, 1);
      dot<T>(context, a, b, VectorView<double>{sum, 1});
      download<double>(context, sum, std::span<double>(&part, 1));
      cosines += part;
    } else {
      cosines += dot<T>(context, a, b);
    }
  }
  std::vector<std::uint8_t> present(static_cast<std::size_t>(modality.present.size()));
  download<std::uint8_t>(context, modality.present.data(), present);
  const auto items = std::count_if(present.begin(), present.end(), [](std::uint8_t p) { return p != 0; });
  return items > 0 ? 1 - cosines / static_cast<double>(items) : 0.0;
}

namespace detail {

/// |x / |x| - y / |y||^2, with 0 / |0| = 0.
template <class T>
double unit_distance(const T* x, const T* y, index_t cols) {
  double xy = 0, xx = 0, yy = 0;
  for (index_t j = 0; j < cols; ++j) {
    const double a = static_cast<double>(x[j]), b = static_cast<double>(y[j]);
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  const double product = std::sqrt(xx) * std::sqrt(yy);
  return (xx > 0) + (yy > 0) - (product > 0 ? 2 * xy / product : 0.0);
}

}  // namespace detail

/// Alignment (Wang and Isola, ICML 2020): the mean over the pairs of R of |u^ - i^|^2, rows divided by their norms.
/// Small is near. Host memory; 0 without pairs.
template <class T>
double alignment(Context<Cpu>& context, MatrixView<const T> users, MatrixView<const T> items, CsrView<T> interactions) {
  DREAM_EXPECT(interactions.rows == users.rows && interactions.cols == items.rows && users.cols == items.cols,
               "alignment: users ", shape(users), ", items ", shape(items), ", pairs ", shape(interactions));
  const double sum = ordered_sum(context, interactions.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    double part = 0;
    for (std::int64_t u = begin; u < end; ++u)
      for (std::int64_t e = interactions.offsets[u]; e < interactions.offsets[u + 1]; ++e)
        part +=
            detail::unit_distance(users.row(static_cast<index_t>(u)), items.row(interactions.indices[e]), users.cols);
    return part;
  });
  return interactions.entries() > 0 ? sum / static_cast<double>(interactions.entries()) : 0.0;
}

/// Uniformity (Wang and Isola, ICML 2020): log of the mean of exp(-2 |x^ - y^|^2) over 2^16 random pairs of different
/// rows. 0: all in one place; small is spread out. Host memory; 0 for fewer than two rows.
template <class T>
double uniformity(Context<Cpu>& context, MatrixView<const T> x, std::uint64_t seed = 0) {
  if (x.rows < 2) return 0;
  constexpr std::int64_t pairs = 1 << 16;
  const RandomStream random{seed, RandomUse::estimate};
  const std::uint64_t rows = static_cast<std::uint64_t>(x.rows);
  const double sum = ordered_sum(context, pairs, 1024, [&](std::int64_t begin, std::int64_t end) {
    double part = 0;
    for (std::int64_t p = begin; p < end; ++p) {
      const RandomBlock block = random.block(static_cast<std::uint64_t>(p));
      const std::uint64_t i = to_below(block.low(), rows);
      std::uint64_t k = to_below(block.high(), rows - 1);
      k += k >= i;
      part +=
          std::exp(-2 * detail::unit_distance(x.row(static_cast<index_t>(i)), x.row(static_cast<index_t>(k)), x.cols));
    }
    return part;
  });
  return std::log(sum / static_cast<double>(pairs));
}

/// The share of each modality in the items' modal representation E_M = sum_m w_m * H_m (* scales rows): by how much of
/// its squared length lies along E_M,
///   share_m = sum_i <w_im h_im, e_i> / sum_i |e_i|^2,
/// so the shares add up to 1, and one that works against the others is negative. All 0 where E_M is. Host memory.
template <class T>
std::vector<double> modality_shares(std::span<const Matrix<T, Cpu>> rows, MatrixView<const T> weights) {
  std::vector<double> along(rows.size()), shares(rows.size());
  DREAM_EXPECT(weights.cols == static_cast<index_t>(rows.size()), "modality shares: ", rows.size(),
               " modalities, weights ", shape(weights));
  for (const Matrix<T, Cpu>& h : rows)
    DREAM_EXPECT(h.rows() == weights.rows && h.cols() == rows[0].cols(), "modality shares: weights ", shape(weights),
                 ", a modality has ", shape(h.view()));
  double total = 0;
  for (index_t i = 0; i < weights.rows; ++i)
    for (index_t j = 0; j < rows[0].cols(); ++j) {
      double e = 0;
      for (std::size_t m = 0; m < rows.size(); ++m)
        e += along[m] = static_cast<double>(weights(i, static_cast<index_t>(m))) * static_cast<double>(rows[m](i, j));
      for (std::size_t m = 0; m < rows.size(); ++m) shares[m] += along[m] * e;
      total += e * e;
    }
  for (double& share : shares) share = total > 0 ? share / total : 0.0;
  return shares;
}

/// All of these of one model. What it does not have is empty.
struct Diagnostics {
  std::vector<std::pair<std::string, double>> forgetting;  ///< by modality, where its embeddings are trainable
  std::vector<std::pair<std::string, double>> shares;      ///< of each modality in the items' modal representation
  Misalignment users, items;                               ///< between its two domains; no entities: it has one
  double alignment = 0;
  double user_uniformity = 0, item_uniformity = 0;
};

/// `users` and `items`: the fused vectors, in host memory; `interactions`: R, likewise.
template <class Model>
Diagnostics diagnose(Context<typename Model::backend>& context, Context<Cpu>& host, Model& model,
                     const ModelData<typename Model::value_type, typename Model::backend>& data,
                     MatrixView<const typename Model::value_type> users,
                     MatrixView<const typename Model::value_type> items,
                     CsrView<typename Model::value_type> interactions) {
  using T = typename Model::value_type;
  using B = typename Model::backend;
  Diagnostics found;
  for (auto& z : model.large_parameters())
    for (const auto& modality : data.modalities)
      if (z.name == modality.name + ".features")
        found.forgetting.emplace_back(modality.name,
                                      modal_forgetting<T>(context, std::as_const(z.value).view(), modality));
  const Array<index_t, B> all = upload_range(context, std::max(data.users, data.items));
  if constexpr (requires(Tape<T, B> tape, VectorView<const index_t> rows) { model.modal_parts(tape, rows); }) {
    Tape<T, B> tape(context);
    const ModalParts<T> parts = model.modal_parts(tape, {all.data(), data.items});
    std::vector<Matrix<T, Cpu>> rows;
    for (const Var part : parts.rows) rows.push_back(download<T>(context, tape.value(part)));
    if (!rows.empty()) {
      const std::vector<double> shares = modality_shares<T>(rows, parts.weights.view());
      for (std::size_t m = 0; m < shares.size(); ++m) found.shares.emplace_back(data.modalities[m].name, shares[m]);
    }
  }
  if constexpr (requires(Tape<T, B> tape, VectorView<const index_t> rows) { model.domains(tape, rows, rows); }) {
    Tape<T, B> tape(context);
    const auto [behaviour, modal] = model.domains(tape, {all.data(), data.users}, {all.data(), data.items});
    const auto apart = [&](Var x, Var y) {
      if (!x.valid() || !y.valid()) return Misalignment{};
      const Matrix<T, Cpu> a = download<T>(context, tape.value(x)), b = download<T>(context, tape.value(y));
      return misalignment<T>(a.view(), b.view());
    };
    found.users = apart(behaviour.users, modal.users);
    found.items = apart(behaviour.items, modal.items);
  }
  found.alignment = alignment<T>(host, users, items, interactions);
  found.user_uniformity = uniformity<T>(host, users);
  found.item_uniformity = uniformity<T>(host, items);
  return found;
}

}  // namespace dream
