// Charts as SVG to be put into a page. They scale with the page by their viewBox; colours and sizes of text are the
// page's (report_style.hpp), so that they follow its light and dark.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "study_numbers.hpp"

namespace dream_cli::study_report {

/// Colours and markers that there are; a style is taken modulo this.
inline constexpr int chart_styles = 8;

struct LineSeries {
  std::string label;  ///< written beside the plot, at the height of the line's end
  int style = 0;      ///< colour and marker
  bool strong = false;
  Curve curve;  ///< the mean as a line with markers, the runs as thin lines
};

struct LineChart {
  std::string describes;  ///< for those who cannot see it
  std::string x_label, y_label;
  std::vector<LineSeries> series;
};

/// Empty where no series has a point.
std::string line_chart(const LineChart& chart);

struct Bar {
  Spread value;
  int kind = 0;  ///< index into BarChart::kinds
};

struct BarGroup {
  std::string label;
  std::vector<Bar> bars;
};

/// Bars to the right from zero, with a whisker of one deviation.
struct BarChart {
  std::string describes;
  std::vector<std::string> kinds;  ///< the first in outline, others filled
  std::vector<BarGroup> groups;
};

/// Empty where there is no bar.
std::string bar_chart(const BarChart& chart);

struct HistogramSeries {
  std::string label;
  int style = 0;
  Cosines cosines;
};

/// Shares of entities by cosine, -1 .. 1, and where the means are.
struct Histogram {
  std::string describes;
  std::vector<HistogramSeries> series;
};

/// Empty where there is no series.
std::string histogram(const Histogram& chart);

}  // namespace dream_cli::study_report
