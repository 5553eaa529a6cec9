// Tables of numbers for people: the first column to the left, the others to the right.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <dream/core/printable.hpp>

namespace dream_cli {

using Row = std::vector<std::string>;

/// Lines of cells under each other, two blanks between columns. Cells are made printable: some are from files.
inline std::string table_text(std::vector<Row> rows) {
  for (Row& row : rows)
    for (std::string& cell : row) cell = dream::printable(cell);
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string gap(widths[c] - row[c].size(), ' ');
      line += c == 0 ? row[c] + gap : "  " + gap + row[c];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

/// Four decimals.
inline std::string metric_text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.4f", value);
  return buffer;
}

}  // namespace dream_cli
