// What charts are drawn with: elements of SVG, markers, scales with round ticks.
#pragma once

#include <string>
#include <vector>

#include "study_numbers.hpp"

namespace dream_cli::study_report {

/// All charts are as wide, in their own units; text is as large in all of them, 14 units or, on wide pages, less.
inline constexpr double chart_width = 440;
inline constexpr double text_height = 16;

/// A coordinate, to a tenth.
std::string at(double coordinate);
/// No less than a text needs.
double text_width(const std::string& text);

enum class Anchor { start, middle, end };
std::string svg_text(double x, double y, const std::string& text, Anchor anchor, const std::string& classes);
std::string svg_line(double x1, double y1, double x2, double y2, const std::string& classes);
std::string svg_rect(double x, double y, double width, double height, const std::string& classes);
/// A line through points; of more than 220 every n-th, and the last.
std::string svg_path(const std::vector<Point>& points, const std::string& classes);
/// The style's own shape.
std::string svg_marker(double x, double y, int style);
/// The class of a style's colour: c0, c1, ...
std::string colour_class(int style);
std::string svg_element(double height, const std::string& describes, const std::string& content);

/// Maps low .. high to a range of coordinates.
struct Scale {
  double low = 0, high = 1, from = 0, to = 1;

  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

/// Round numbers within low .. high, about as many as asked for but three or more, and the decimals that they need.
/// Ends that are whole numbers, as those of epochs, have whole numbers between them alone, be they fewer.
struct Ticks {
  std::vector<double> values;
  int decimals = 0;
};
Ticks round_ticks(double low, double high, int about);

}  // namespace dream_cli::study_report
