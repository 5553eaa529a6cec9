#include "svg_chart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "svg_parts.hpp"

namespace dream_cli::study_report {

namespace {

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;

  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

/// A line's name beside the plot: as high as the line's end, or near that.
struct EndLabel {
  const LineSeries* series;
  Point end;
  double y;
};

/// Moves labels apart, and keeps their order.
void spread_labels(std::vector<EndLabel>& labels, double top, double bottom) {
  std::sort(labels.begin(), labels.end(), [](const auto& a, const auto& b) { return a.end.y < b.end.y; });
  for (std::size_t i = 0; i < labels.size(); ++i)
    labels[i].y = i == 0 ? std::max(top, labels[i].y) : std::max(labels[i].y, labels[i - 1].y + text_height);
  for (std::size_t i = labels.size(); i-- > 0;) {
    const double lowest = i + 1 == labels.size() ? bottom : labels[i + 1].y - text_height;
    labels[i].y = std::min(labels[i].y, lowest);
  }
}

std::vector<Point> placed(const std::vector<Point>& points, const Scale& x, const Scale& y) {
  std::vector<Point> found;
  found.reserve(points.size());
  for (const Point& point : points) found.push_back({x(point.x), y(point.y)});
  return found;
}

std::string grid(const Scale& x, const Scale& y, const Ticks& x_ticks, const Ticks& y_ticks) {
  std::string svg;
  for (const double v : y_ticks.values) {
    svg += svg_line(x.from, y(v), x.to, y(v), "grid");
    svg += svg_text(x.from - 6, y(v) + 5, fixed(v, y_ticks.decimals), Anchor::end, "tick");
  }
  for (const double v : x_ticks.values)
    svg += svg_text(x(v), y.from + 18, fixed(v, x_ticks.decimals), Anchor::middle, "tick");
  return svg + svg_line(x.from, y.from, x.to, y.from, "axis");
}

double tick_width(const Ticks& ticks) {
  double width = 0;
  for (const double v : ticks.values) width = std::max(width, text_width(fixed(v, ticks.decimals)));
  return width;
}

}  // namespace

std::string line_chart(const LineChart& chart) {
  constexpr double height = 300, top = 32, bottom = height - 40;
  Extent x_extent, y_extent;
  double label_width = 0;
  for (const LineSeries& series : chart.series) {
    for (const auto& run : series.curve.runs) {
      for (const Point& point : run) {
        x_extent.add(point.x);
        y_extent.add(point.y);
      }
    }
    label_width = std::max(label_width, text_width(series.label));
  }
  if (!(x_extent.low <= x_extent.high)) return "";
  if (x_extent.low == x_extent.high) x_extent.add(x_extent.high + 1);
  if (y_extent.low == y_extent.high) y_extent.add(y_extent.high + std::max(1e-6, std::abs(y_extent.high)));
  const Ticks y_ticks = round_ticks(y_extent.low, y_extent.high, 7);
  const Scale x{x_extent.low, x_extent.high, tick_width(y_ticks) + 10, chart_width - label_width - 36};
  const Scale y{y_extent.low, y_extent.high, bottom, top};
  std::string svg = grid(x, y, round_ticks(x_extent.low, x_extent.high, 7), y_ticks);
  svg += svg_text(0, 14, chart.y_label, Anchor::start, "title");
  svg += svg_text((x.from + x.to) / 2, height - 4, chart.x_label, Anchor::middle, "title");
  for (const LineSeries& series : chart.series)
    for (const auto& run : series.curve.runs) svg += svg_path(placed(run, x, y), "run " + colour_class(series.style));
  std::vector<EndLabel> labels;
  std::string markers;
  for (const LineSeries& series : chart.series) {
    const std::vector<Point> points = placed(series.curve.mean, x, y);
    if (points.empty()) continue;
    svg += svg_path(points, std::string("mean ") + (series.strong ? "strong " : "") + colour_class(series.style));
    // A marker every so often, at other places for every style, and one at the end.
    double next = points.front().x + 44.0 * (series.style % chart_styles) / chart_styles;
    for (const Point& point : points) {
      if (point.x < next || points.back().x - point.x < 16) continue;
      markers += svg_marker(point.x, point.y, series.style);
      next = std::max(next + 44, point.x);
    }
    markers += svg_marker(points.back().x, points.back().y, series.style);
    labels.push_back({&series, points.back(), points.back().y});
  }
  spread_labels(labels, top, bottom);
  const double beside = x.to + 22;
  for (const EndLabel& label : labels) {
    svg += svg_line(label.end.x + 6, label.end.y, x.to, label.end.y, "leader");
    svg += svg_line(x.to, label.end.y, beside - 6, label.y, "leader");
  }
  svg += markers;
  for (const EndLabel& label : labels) {
    svg += svg_marker(beside, label.y, label.series->style);
    svg += svg_text(beside + 9, label.y + 5, label.series->label, Anchor::start,
                    label.series->strong ? "label strong" : "label");
  }
  return svg_element(height, chart.describes, svg);
}

std::string bar_chart(const BarChart& chart) {
  constexpr double bar = 17, gap = 5, between = 16, value_width = 132;
  double label_width = 0, most = 0;
  for (const BarGroup& group : chart.groups) {
    if (!group.bars.empty()) label_width = std::max(label_width, text_width(group.label));
    for (const Bar& b : group.bars) most = std::max(most, b.value.mean + b.value.deviation.value_or(0));
  }
  if (!(most > 0)) return "";
  const Scale x{0, most, label_width + 10, chart_width - value_width};
  double y = 4, legend = 0;  // one kind beside the other while there is room
  std::string svg;
  const auto classes = [](int kind) {
    return kind == 0 ? std::string("bar hollow c1") : "bar " + colour_class(kind - 1);
  };
  for (std::size_t kind = 0; kind < chart.kinds.size(); ++kind) {
    if (legend > 0 && legend + 20 + text_width(chart.kinds[kind]) > chart_width) {
      legend = 0;
      y += 20;
    }
    svg += svg_rect(legend, y, 14, 12, classes(static_cast<int>(kind)));
    svg += svg_text(legend + 20, y + 11, chart.kinds[kind], Anchor::start, "label");
    legend += 42 + text_width(chart.kinds[kind]);
  }
  y += 30;
  const double first = y;
  for (const BarGroup& group : chart.groups) {
    if (group.bars.empty()) continue;
    const double rows = static_cast<double>(group.bars.size());
    const double tall = rows * bar + (rows - 1) * gap;
    svg += svg_text(x.from - 8, y + tall / 2 + 5, group.label, Anchor::end, "label");
    for (const Bar& b : group.bars) {
      const double middle = y + bar / 2, end = x(std::max(0.0, b.value.mean));
      const double deviation = b.value.deviation.value_or(0);
      svg += svg_rect(x.from, y, end - x.from, bar, classes(b.kind));
      if (deviation > 0) {
        const double low = x(std::max(0.0, b.value.mean - deviation)), high = x(b.value.mean + deviation);
        svg += svg_line(low, middle, high, middle, "whisker");
        for (const double end_of : {low, high}) svg += svg_line(end_of, middle - 3, end_of, middle + 3, "whisker");
      }
      svg += svg_text(x(std::max(0.0, b.value.mean + deviation)) + 6, middle + 5, spread_text(b.value), Anchor::start,
                      "value");
      y += bar + gap;
    }
    y += between - gap;
  }
  svg += svg_line(x.from, first - 4, x.from, y - between + 4, "axis");
  return svg_element(y - between + 8, chart.describes, svg);
}

std::string histogram(const Histogram& chart) {
  if (chart.series.empty()) return "";
  const double top = 12 + 20 * static_cast<double>(chart.series.size()) + 12, bottom = top + 150;
  std::vector<std::vector<double>> shares;
  double most = 0;
  for (const HistogramSeries& series : chart.series) {
    double sum = 0;
    for (const double count : series.cosines.histogram) sum += count;
    shares.emplace_back();
    for (const double count : series.cosines.histogram) shares.back().push_back(sum > 0 ? 100 * count / sum : 0);
    most = std::max(most, *std::max_element(shares.back().begin(), shares.back().end()));
  }
  if (!(most > 0)) return "";
  const Scale x{-1, 1, 44, chart_width - 8}, y{0, most, bottom, top};
  Ticks percent = round_ticks(0, most, 4);
  std::string svg = grid(x, y, {{-1, -0.5, 0, 0.5, 1}, 1}, percent);
  double line = 16;
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    const HistogramSeries& series = chart.series[s];
    std::vector<Point> steps{{x(-1), bottom}};
    const double bins = static_cast<double>(shares[s].size());
    for (std::size_t b = 0; b < shares[s].size(); ++b) {
      steps.push_back({x(-1 + 2 * static_cast<double>(b) / bins), y(shares[s][b])});
      steps.push_back({x(-1 + 2 * static_cast<double>(b + 1) / bins), y(shares[s][b])});
    }
    steps.push_back({x(1), bottom});
    const std::string colour = colour_class(series.style);
    svg += svg_path(steps, "area " + colour);
    const double mean = x(std::clamp(series.cosines.mean, -1.0, 1.0));
    svg += svg_line(mean, top - 6, mean, bottom, "centre " + colour);
    svg += svg_marker(mean, top - 6, series.style);
    svg += svg_marker(8, line - 5, series.style);
    svg += svg_text(20, line, series.label + ": mean " + signed_fixed(series.cosines.mean, 2), Anchor::start, "label");
    line += 20;
  }
  svg += svg_text((x.from + x.to) / 2, bottom + 38, "cosine (height: % of users or items)", Anchor::middle, "title");
  return svg_element(bottom + 44, chart.describes, svg);
}

}  // namespace dream_cli::study_report
