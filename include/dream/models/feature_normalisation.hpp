// What is done to raw features before a model sees them (docs/components.md, 1).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <dream/backend/matrix.hpp>
#include <dream/backend/row_norm.hpp>

namespace dream {

/// What is done to raw features first: every row divided by its norm, nothing, or columns brought to mean 0,
/// variance 1.
enum class FeatureNormalisation { row, none, standard };

/// F_m from raw features: columns are standardised over the items that have the modality, constant ones become 0;
/// absent rows stay zero.
template <class T>
void normalise_features(Context<Cpu>& context, FeatureNormalisation kind, VectorView<const std::uint8_t> present,
                        MatrixView<T> f) {
  if (kind == FeatureNormalisation::row) {
    Array<T, Cpu> inverse(f.rows);
    normalise_rows<T>(context, f, f, inverse.view());
  } else if (kind == FeatureNormalisation::standard) {
    context.parallel_blocks(f.cols, 16, [&](std::int64_t begin, std::int64_t end) {
      for (index_t j = static_cast<index_t>(begin); j < end; ++j) {
        double sum = 0, squares = 0, count = 0, low = 0, high = 0;
        for (index_t i = 0; i < f.rows; ++i) {
          if (!present[i]) continue;
          const double value = static_cast<double>(f(i, j));
          low = count > 0 ? std::min(low, value) : value;
          high = count > 0 ? std::max(high, value) : value;
          sum += value;
          count += 1;
        }
        const double mean = count > 0 ? sum / count : 0;
        for (index_t i = 0; i < f.rows; ++i)
          if (present[i]) squares += (static_cast<double>(f(i, j)) - mean) * (static_cast<double>(f(i, j)) - mean);
        const double deviation = high > low ? std::sqrt(squares / count) : 0;  // exactly 0 for a constant column
        for (index_t i = 0; i < f.rows; ++i)
          f(i, j) =
              present[i] && deviation > 0 ? static_cast<T>((static_cast<double>(f(i, j)) - mean) / deviation) : T{0};
      }
    });
  }
}

}  // namespace dream
