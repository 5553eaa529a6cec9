// A table that is shown in the page and written as TSV.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "study_numbers.hpp"

namespace dream_cli::study_report {

/// A text in HTML, in elements and in quoted attributes.
std::string escaped(std::string_view text);

struct TableCell {
  std::string shown;                ///< plain text, in the page
  std::vector<std::string> stored;  ///< in the TSV, one a name of its column; empty texts where there is no number
  bool best = false;                ///< set in bold
};

struct TableColumn {
  std::string head;                ///< in the page; a column without is left out there
  std::vector<std::string> names;  ///< in the TSV
  bool words = false;              ///< set to the left, and may be broken into lines
};

struct Table {
  std::string file;     ///< NAME of tables/NAME.tsv
  std::string caption;  ///< HTML
  std::vector<TableColumn> columns;
  std::vector<std::vector<TableCell>> rows;

  /// The table in a box that scrolls by itself.
  std::string html() const;
  std::string tsv() const;
};

/// Columns by what their cells hold; `name` is that of the TSV.
TableColumn words_column(const std::string& head, const std::string& name);
TableColumn number_column(const std::string& head, const std::string& name);
/// name_mean, name_deviation.
TableColumn spread_column(const std::string& head, const std::string& name);
/// A difference, with low, high and p; the prefix is of the names in the TSV.
std::vector<TableColumn> significance_columns(const std::string& prefix = "");

/// Name and id of a part; the id is for programs.
std::vector<TableColumn> part_columns(const std::string& head);
std::vector<TableCell> part_cells(const Part& part);

TableCell words_cell(const std::string& text);
TableCell number_cell(const std::optional<double>& number, int decimals = 4);
TableCell signed_cell(const std::optional<double>& number, int decimals = 4);
TableCell count_cell(std::int64_t count);
TableCell spread_cell(const std::optional<Spread>& spread, int decimals = 4);
std::vector<TableCell> significance_cells(const std::optional<Significance>& significance);
/// Runs that are over, of all.
TableCell runs_cell(const Part& part);

}  // namespace dream_cli::study_report
