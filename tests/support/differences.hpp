// How far apart lists of numbers are.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "support/catch.hpp"

namespace dream_test {

/// The largest difference of two equally long lists, relative where numbers of b exceed 1; NaN where there is one.
inline double worst(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double difference = std::abs(a[k] - b[k]) / std::max(1.0, std::abs(b[k]));
    most = difference <= most ? most : difference;  // NaN counts
  }
  return most;
}

}  // namespace dream_test
