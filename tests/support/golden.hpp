// Golden cases: inputs, outputs and gradients of the double-precision reference in tests/golden.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <dream/backend/matrix.hpp>

namespace golden {

using dream::index_t;
using DoubleMatrix = dream::Matrix<double, dream::Cpu>;

/// Absolute or relative, whichever is larger: double arithmetic on some thousand operations.
inline constexpr double tolerance = 1e-10;

struct Case {
  std::string name;
  nlohmann::json json;

  const nlohmann::json& config() const { return json.at("config"); }
  bool has(const char* section, const std::string& key) const { return json.at(section).contains(key); }
  DoubleMatrix matrix(const char* section, const std::string& key) const {
    const auto& m = json.at(section).at(key);
    DoubleMatrix out(m.at("shape").at(0).get<index_t>(), m.at("shape").at(1).get<index_t>());
    const auto& data = m.at("data");
    for (std::int64_t i = 0; i < out.size(); ++i) out.data()[i] = data.at(static_cast<std::size_t>(i)).get<double>();
    return out;
  }
  DoubleMatrix input(const std::string& key) const { return matrix("inputs", key); }
  std::vector<index_t> indices(const std::string& key) const {
    const DoubleMatrix m = input(key);
    return {m.data(), m.data() + m.size()};
  }
};

inline std::vector<Case> cases(const std::string& prefix) {
  std::vector<Case> out;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(DREAM_SOURCE_DIR) + "/tests/golden/cases")) {
    const std::string name = entry.path().stem().string();
    if (name.rfind(prefix, 0) != 0) continue;
    std::ifstream file(entry.path());
    out.push_back({name, nlohmann::json::parse(file)});
  }
  std::sort(out.begin(), out.end(), [](const Case& a, const Case& b) { return a.name < b.name; });
  return out;
}

/// The largest difference of two matrices, relative where values exceed 1; huge where the shapes differ or one is NaN.
inline double difference(dream::MatrixView<const double> a, dream::MatrixView<const double> b) {
  if (a.rows != b.rows || a.cols != b.cols) return 1e300;
  double largest = 0;
  for (index_t i = 0; i < a.rows; ++i)
    for (index_t j = 0; j < a.cols; ++j) {
      const double d = std::abs(a(i, j) - b(i, j)) / std::max(1.0, std::abs(b(i, j)));
      if (!(d <= largest)) largest = d == d ? d : 1e300;
    }
  return largest;
}

}  // namespace golden
