#include <cmath>
#include <vector>

#include <dream/kernels/features.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_features {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

std::uint16_t stored(FeatureStorage storage, double v) {
  return storage == FeatureStorage::bfloat16 ? to_bfloat16(static_cast<float>(v)) : to_float16(static_cast<float>(v));
}

}  // namespace

TEMPLATE_TEST_CASE("Features stored in 16 bits are gathered as the values they stand for", "", float, double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes)
    for (const FeatureStorage storage : {FeatureStorage::bfloat16, FeatureStorage::float16}) {
      // Rows apart by an even and by an odd number of values, and a start off the packs.
      const index_t gap = turn % 3 == 2 ? 0 : 8 - s.cols % 8 + turn % 2, first = turn % 5 == 4 ? 1 : 0;
      const index_t entities = 40;
      const std::int64_t stride = s.cols + gap;
      std::vector<std::uint16_t> bits(static_cast<std::size_t>(entities * stride + first), 0x7fff);  // NaN
      KernelMatrix<T> scale(1, entities), y(s.rows, s.cols);
      const RandomStream random{static_cast<std::uint64_t>(turn)};
      std::vector<index_t> rows;
      for (index_t k = 0; k < s.rows; ++k) rows.push_back(static_cast<index_t>(random.below(900000u + k, entities)));
      for (index_t i = 0; i < entities; ++i)
        for (index_t j = 0; j < s.cols; ++j)
          bits[static_cast<std::size_t>(first + i * stride + j)] =
              stored(storage, random.normal(static_cast<std::uint64_t>(i * stride + j)));
      scale.fill([](auto, index_t i) { return 1.0 + 0.25 * i; });
      const bool all = turn % 4 == 3 && s.rows <= entities, scales = turn % 2 == 0;
      const auto report = check_kernel<GatherFeatures<T>>([&](KernelBuffers& use) {
        const std::uint16_t* data = use.input(bits.data(), static_cast<std::int64_t>(bits.size()));
        VectorView<const index_t> chosen;
        if (!all) chosen = use.input(VectorView<const index_t>{rows.data(), s.rows});
        return typename GatherFeatures<T>::Params{FeatureView<T>(data + first, entities, s.cols, stride, storage),
                                                  scales ? use.input(scale.vector()).data : nullptr, chosen,
                                                  use.output(y.view())};
      });
      REQUIRE(report.text() == "");
      INFO(s.rows << " x " << s.cols << ", " << gap << " apart");
      // Exact: the value fits T, and the scales have few bits.
      require_near(
          y,
          [&](index_t k, index_t j) {
            const index_t row = all ? k : rows[static_cast<std::size_t>(k)];
            const double value = from_half<double>(storage, bits[static_cast<std::size_t>(first + row * stride + j)]);
            return scales ? value * scale.at(0, row) : value;
          },
          0);
      ++turn;
    }
}

}  // namespace dream_tests::kernels_features
