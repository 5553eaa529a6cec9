#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <unordered_map>

#include <dream/core/error.hpp>

#include "activity.hpp"
#include "commands.hpp"
#include "memory.hpp"
#include "settings.hpp"
#include "table.hpp"

namespace dream_cli {

namespace {

using dream::index_t;

/// How many interactions each of `count` rows has.
std::vector<std::int64_t> degrees(const std::vector<index_t>& rows, index_t count) {
  std::vector<std::int64_t> degree(static_cast<std::size_t>(count), 0);
  for (const index_t row : rows) ++degree[static_cast<std::size_t>(row)];
  return degree;
}

std::string fixed(double value, int decimals) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  return buffer;
}

Row side(const char* what, const std::vector<index_t>& train, index_t count) {
  std::vector<std::int64_t> degree = degrees(train, count);
  std::sort(degree.begin(), degree.end());
  const std::int64_t cold = std::count(degree.begin(), degree.end(), 0);
  const double mean = count > 0 ? static_cast<double>(train.size()) / count : 0;
  const std::int64_t least = degree.empty() ? 0 : degree.front(), most = degree.empty() ? 0 : degree.back();
  const std::int64_t median = degree.empty() ? 0 : degree[degree.size() / 2];
  return {what,           std::to_string(count), std::to_string(cold), std::to_string(least), std::to_string(median),
          fixed(mean, 1), std::to_string(most)};
}

/// Rows that equal an earlier row, rows of zeros left out.
std::int64_t repeated_rows(const dream::Modality& modality) {
  std::unordered_map<std::string_view, int> seen;
  std::int64_t repeated = 0;
  const std::size_t bytes = static_cast<std::size_t>(modality.cols) * sizeof(float);
  for (index_t i = 0; i < modality.rows; ++i) {
    if (!modality.present[static_cast<std::size_t>(i)]) continue;
    const std::string_view row(reinterpret_cast<const char*>(modality.features().row(i)), bytes);
    repeated += seen[row]++ > 0;
  }
  return repeated;
}

Row modality_row(const dream::Modality& m) {
  double least = INFINITY, most = 0, sum = 0;
  std::int64_t present = 0;
  for (index_t i = 0; i < m.rows; ++i) {
    if (!m.present[static_cast<std::size_t>(i)]) continue;
    double square = 0;
    for (index_t j = 0; j < m.cols; ++j) square += static_cast<double>(m.features()(i, j)) * m.features()(i, j);
    const double norm = std::sqrt(square);
    least = std::min(least, norm);
    most = std::max(most, norm);
    sum += norm;
    ++present;
  }
  return {m.name,
          std::to_string(m.cols),
          std::to_string(m.rows - present),
          std::to_string(repeated_rows(m)),
          fixed(least, 3),
          fixed(sum / static_cast<double>(std::max<std::int64_t>(present, 1)), 3),
          fixed(most, 3)};
}

}  // namespace

int inspect(const InspectArguments& arguments) {
  Settings settings;
  for (const std::string& text : arguments.assignments) apply(settings, parse_assignment(text));
  doing("reading the data");
  const dream::Dataset data = dream::read_dataset(arguments.data, settings.read);
  const double cells = static_cast<double>(data.user_count()) * data.item_count();
  const std::int64_t all = data.train.size() + data.valid.size() + data.test.size();

  std::printf("%s\n\n", dream::printable(data.name).c_str());
  std::vector<Row> rows{{"interactions", "all", "train", "valid", "test", "density"}};
  rows.push_back({"", std::to_string(all), std::to_string(data.train.size()), std::to_string(data.valid.size()),
                  std::to_string(data.test.size()),
                  fixed(cells > 0 ? 100 * static_cast<double>(all) / cells : 0, 4) + "%"});
  std::printf("%s\n", table_text(rows).c_str());
  rows = {{"training interactions", "rows", "without", "least", "median", "mean", "most"}};
  rows.push_back(side("users", data.train.user, data.user_count()));
  rows.push_back(side("items", data.train.item, data.item_count()));
  std::printf("%s\n", table_text(rows).c_str());
  if (data.modalities.empty()) {
    std::printf("no modalities\n\n");
  } else {
    rows = {{"modality", "columns", "missing", "repeated", "least norm", "mean norm", "largest norm"}};
    for (const dream::Modality& m : data.modalities) rows.push_back(modality_row(m));
    std::printf("%s\n", table_text(rows).c_str());
  }
  std::string files;
  for (const std::string& file : dream::find_interactions(arguments.data).part)
    if (!file.empty()) files += (files.empty() ? "" : ", ") + file;
  std::printf("files of interactions: %s\n", files.c_str());
  std::printf("ids: users %s, items %s\n", data.users.is_identity() ? "0 .. n-1" : "as named in the files",
              data.items.is_identity() ? "0 .. n-1" : "as named in the files");
  std::printf("training DREAM on it takes about %s of memory; this process may use %s\n",
              bytes_text(training_bytes(data, settings)).c_str(),
              bytes_text(static_cast<double>(dream::memory_limit())).c_str());
  for (const std::string& note : data.notes) std::printf("note: %s\n", dream::excerpt(note).c_str());
  return Exit::success;
}

}  // namespace dream_cli
