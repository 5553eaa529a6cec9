#include "report_tables.hpp"

namespace dream_cli::study_report {

namespace {

const char* const nothing = "\u2013";

/// A field of a TSV: one line, without tabs.
std::string field(const std::string& text) {
  std::string line = text;
  for (char& c : line)
    if (c == '\t' || c == '\n' || c == '\r') c = ' ';
  return line;
}

std::string tsv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) line += '\t';
    line += field(fields[i]);
  }
  return line + "\n";
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '&':
        html += "&amp;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return html;
}

std::string Table::html() const {
  std::string text = "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Table " + escaped(file) +
                     "\"><table>\n<caption><div>" + caption + " <span class=\"file\">tables/" + escaped(file) +
                     ".tsv</span></div></caption>\n<thead><tr>";
  const auto kind = [](const TableColumn& column) { return column.words ? " class=\"words\"" : ""; };
  for (const TableColumn& column : columns)
    if (!column.head.empty())
      text += std::string("<th scope=\"col\"") + kind(column) + ">" + escaped(column.head) + "</th>";
  text += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows) {
    text += "<tr>";
    bool first = true;
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (columns[c].head.empty()) continue;
      const std::string shown = row[c].best ? "<strong>" + escaped(row[c].shown) + "</strong>" : escaped(row[c].shown);
      text += first ? "<th scope=\"row\">" + shown + "</th>"
                    : std::string("<td") + kind(columns[c]) + ">" + shown + "</td>";
      first = false;
    }
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
}

std::string Table::tsv() const {
  std::vector<std::string> fields;
  for (const TableColumn& column : columns) fields.insert(fields.end(), column.names.begin(), column.names.end());
  std::string text = tsv_line(fields);
  for (const auto& row : rows) {
    fields.clear();
    for (const TableCell& cell : row) fields.insert(fields.end(), cell.stored.begin(), cell.stored.end());
    text += tsv_line(fields);
  }
  return text;
}

TableColumn words_column(const std::string& head, const std::string& name) { return {head, {name}, true}; }
TableColumn number_column(const std::string& head, const std::string& name) { return {head, {name}, false}; }
TableColumn spread_column(const std::string& head, const std::string& name) {
  return {head, {name + "_mean", name + "_deviation"}, false};
}
std::vector<TableColumn> significance_columns(const std::string& prefix) {
  return {{"95 % interval", {prefix + "low", prefix + "high"}, false}, {"p", {prefix + "p"}, false}};
}

std::vector<TableColumn> part_columns(const std::string& head) {
  return {words_column("", "part"), words_column(head, "label")};
}
std::vector<TableCell> part_cells(const Part& part) { return {words_cell(part.id), words_cell(part.label)}; }

TableCell words_cell(const std::string& text) { return {text.empty() ? nothing : text, {text}}; }

TableCell number_cell(const std::optional<double>& number, int decimals) {
  if (!number) return {nothing, {""}};
  return {fixed(*number, decimals), {digits(*number)}};
}

TableCell signed_cell(const std::optional<double>& number, int decimals) {
  if (!number) return {nothing, {""}};
  return {signed_fixed(*number, decimals), {digits(*number)}};
}

TableCell count_cell(std::int64_t count) { return {grouped(count), {std::to_string(count)}}; }

TableCell spread_cell(const std::optional<Spread>& spread, int decimals) {
  if (!spread) return {nothing, {"", ""}};
  return {spread_text(*spread, decimals),
          {digits(spread->mean), spread->deviation ? digits(*spread->deviation) : std::string()}};
}

std::vector<TableCell> significance_cells(const std::optional<Significance>& s) {
  if (!s) return {{nothing, {"", ""}}, {nothing, {""}}};
  return {{signed_fixed(s->low) + " to " + signed_fixed(s->high), {digits(s->low), digits(s->high)}},
          {p_text(s->p), {digits(s->p)}}};
}

TableCell runs_cell(const Part& part) {
  const std::string done = std::to_string(finished_runs(part)), all = std::to_string(part.runs.size());
  return {done == all ? done : done + " of " + all, {done}};
}

}  // namespace dream_cli::study_report
