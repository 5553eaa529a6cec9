#include "svg_parts.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "report_tables.hpp"
#include "svg_chart.hpp"

namespace dream_cli::study_report {

std::string at(double coordinate) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.1f", coordinate);
  std::string text = buffer;
  if (text.size() > 2 && text.compare(text.size() - 2, 2, ".0") == 0) text.resize(text.size() - 2);
  return text;
}

double text_width(const std::string& text) {
  double width = 0;
  for (const char c : text) {
    const bool continues = (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
    const bool wide = (c >= 'A' && c <= 'Z') || c == '@' || c == '%' || c == 'm' || c == 'w';
    if (!continues) width += wide ? 10.5 : 8.3;
  }
  return width;
}

std::string svg_text(double x, double y, const std::string& text, Anchor anchor, const std::string& classes) {
  const char* const where[] = {"start", "middle", "end"};
  return "<text x=\"" + at(x) + "\" y=\"" + at(y) + "\" text-anchor=\"" + where[static_cast<int>(anchor)] +
         "\" class=\"" + classes + "\">" + escaped(text) + "</text>\n";
}

std::string svg_line(double x1, double y1, double x2, double y2, const std::string& classes) {
  return "<path d=\"M" + at(x1) + " " + at(y1) + "L" + at(x2) + " " + at(y2) + "\" class=\"" + classes + "\"/>\n";
}

std::string svg_rect(double x, double y, double width, double height, const std::string& classes) {
  return "<rect x=\"" + at(x) + "\" y=\"" + at(y) + "\" width=\"" + at(width) + "\" height=\"" + at(height) +
         "\" class=\"" + classes + "\"/>\n";
}

std::string svg_path(const std::vector<Point>& points, const std::string& classes) {
  const std::size_t step = points.size() / 220 + 1;
  std::string path;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (i % step != 0 && i + 1 != points.size()) continue;
    path += (path.empty() ? "M" : "L") + at(points[i].x) + " " + at(points[i].y);
  }
  return "<path d=\"" + path + "\" class=\"" + classes + "\"/>\n";
}

std::string svg_marker(double x, double y, int style) {
  // Around 0, 0, as large as the eye takes them to be.
  static const char* const shapes[chart_styles] = {
      "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
      "M-3.5-3.5h7v7h-7z",
      "M0-4.8L4.4 3.4H-4.4z",
      "M0-5L4.6 0L0 5L-4.6 0z",
      "M0 4.8L4.4-3.4H-4.4z",
      "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
      "M-4.5-2.4L-2.4-4.5L0-2.1L2.4-4.5L4.5-2.4L2.1 0L4.5 2.4L2.4 4.5L0 2.1L-2.4 4.5L-4.5 2.4L-2.1 0z",
      "M0-5L1.5-1.7L5-1.5L2.3 .8L3.1 4.4L0 2.4L-3.1 4.4L-2.3 .8L-5-1.5L-1.5-1.7z",
  };
  return "<path transform=\"translate(" + at(x) + " " + at(y) + ")\" d=\"" + shapes[style % chart_styles] +
         "\" class=\"marker " + colour_class(style) + "\"/>\n";
}

std::string colour_class(int style) { return "c" + std::to_string(style % chart_styles); }

std::string svg_element(double height, const std::string& describes, const std::string& content) {
  return "<svg viewBox=\"0 0 " + at(chart_width) + " " + at(height) + "\" role=\"img\" aria-label=\"" +
         escaped(describes) + "\">\n" + content + "</svg>\n";
}

namespace {

/// 1, 2 and 5 times powers of ten, in order; that of 0 is 1.
double round_step(int n) {
  const int power = n >= 0 ? n / 3 : (n - 2) / 3;
  constexpr double factors[] = {1, 2, 5};
  return factors[n - 3 * power] * std::pow(10.0, power);
}

}  // namespace

Ticks round_ticks(double low, double high, int about) {
  // Shares and metrics end at 1.
  const bool whole = high > 1 && low == std::floor(low) && high == std::floor(high);
  const double rough = (high - low) / about;
  int n = 3 * static_cast<int>(std::floor(std::log10(rough)));
  while (round_step(n) < rough * 0.999) ++n;
  if (whole) n = std::max(n, 0);
  Ticks ticks;
  for (;; --n) {
    const double step = round_step(n);
    ticks.decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 12);
    ticks.values.clear();
    for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1)
      ticks.values.push_back(k * step);
    if (ticks.values.size() >= 3 || (whole && n == 0)) return ticks;
  }
}

}  // namespace dream_cli::study_report
