#include "study_figures.hpp"

#include <algorithm>
#include <utility>

#include "study_tables.hpp"
#include "svg_chart.hpp"

namespace dream_cli::study_report {

namespace {

/// A name that charts have room for.
std::string shortened(const std::string& text) {
  constexpr std::size_t most = 18;
  std::string kept;
  std::size_t letters = 0;
  for (const char c : text) {
    const bool continues = (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
    if (!continues && ++letters > most) return kept + "\u2026";
    kept += c;
  }
  return kept;
}

/// DREAM's is 0, and a model keeps its own in all charts.
int style_of(const Study& study, const Part& part) {
  if (part.id == "dream") return 0;
  int style = 1;
  for (const Part* model : study.group("models")) {
    if (model == &part) return style;
    if (model->id != "dream") ++style;
  }
  return style;
}

LineSeries line_of(const Study& study, const Part& part, Curve curve) {
  return {shortened(part.label), style_of(study, part), part.id == "dream", std::move(curve)};
}

std::string figure(const std::string& kind, const std::string& content, const std::string& caption) {
  return "<figure class=\"" + kind + "\">\n" + content + "<figcaption>" + caption + "</figcaption></figure>\n";
}

std::string panel(const std::string& title, const std::string& svg) {
  return "<div><h4>" + escaped(title) + "</h4>\n" + svg + "</div>\n";
}

const char* const curve_caption =
    "Thick: the mean over the seeds, as far as every seed was trained (training stops early). Thin: the seeds.";

}  // namespace

std::string training_curves(const Study& study) {
  const std::string metric = metric_title(study.metric);
  LineChart chart{"Validation " + metric + " by epoch, a line a model", "epoch", "Validation " + metric, {}};
  for (const Part* part : study.group("models"))
    chart.series.push_back(line_of(study, *part, valid_curve(*part, study.metric)));
  const std::string svg = line_chart(chart);
  if (svg.empty()) return "";
  return figure("wide", svg,
                "Validation " + escaped(metric) + " by epoch. " + curve_caption +
                    " The numbers: <span class=\"file\">tables/valid_by_epoch.tsv</span>");
}

std::string embeddings_bars(const Study& study) {
  const Part* dream = study.find("dream");
  std::vector<const Part*> parts = study.group("embeddings");
  if (dream == nullptr || parts.empty()) return "";
  parts.push_back(dream);
  BarChart chart{"Test metrics of DREAM with trainable and with frozen modal embeddings", {}, {}};
  for (const Part* part : parts) chart.kinds.push_back(part == dream ? part->label + ", trainable" : part->label);
  for (const std::string& metric : shown_metrics(study)) {
    BarGroup group{metric_title(metric), {}};
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (const auto test = test_spread(*parts[i], metric)) group.bars.push_back({*test, static_cast<int>(i)});
    chart.groups.push_back(group);
  }
  const std::string svg = bar_chart(chart);
  if (svg.empty()) return "";
  return figure("wide", svg,
                "Frozen against trainable modal embeddings, on test (counterpart of Figure 1a). Whiskers: one standard "
                "deviation (n \u2212 1) over the seeds.");
}

std::string forgetting_curves(const Study& study) {
  std::string panels;
  for (const std::string& modality : modalities_of(study, &Diagnosis::forgetting)) {
    LineChart chart{"Forgetting of modality " + modality + " by epoch, a line a model", "epoch", "Forgetting", {}};
    for (const Part* part : study.group("models")) {
      Curve curve = forgetting_curve(*part, modality);
      if (!curve.runs.empty()) chart.series.push_back(line_of(study, *part, std::move(curve)));
    }
    const std::string svg = line_chart(chart);
    if (!svg.empty()) panels += panel(modality, svg);
  }
  if (panels.empty()) return "";
  return figure("split", "<div class=\"panels\">\n" + panels + "</div>",
                std::string("Modal information forgetting by epoch (counterpart of Figure 1b). ") + curve_caption +
                    " Not in here are models whose modal embeddings are frozen, and those whose loss does not reach "
                    "them, as FREEDOM\u2019s where reg_weight = 0 was chosen. The numbers: "
                    "<span class=\"file\">tables/forgetting_by_epoch.tsv</span>");
}

std::string misalignment_histograms(const Study& study) {
  const std::pair<const char*, std::optional<Cosines> Diagnosis::*> domains[] = {{"users", &Diagnosis::users},
                                                                                 {"items", &Diagnosis::items}};
  std::string panels;
  for (const AlignmentPair& pair : alignment_pairs(study)) {
    for (const auto& [name, domain] : domains) {
      Histogram chart{pair.label + ", " + name + ": cosines of the two domains", {}};
      if (pair.without != nullptr)
        if (const auto found = part_cosines(*pair.without, domain)) chart.series.push_back({"without BMA", 1, *found});
      if (pair.with != nullptr)
        if (const auto found = part_cosines(*pair.with, domain)) chart.series.push_back({"with BMA", 0, *found});
      const std::string svg = histogram(chart);
      if (!svg.empty()) panels += panel(pair.label + ": " + name, svg);
    }
  }
  if (panels.empty()) return "";
  return figure(
      "split", "<div class=\"panels\">\n" + panels + "</div>",
      "Cosine of the behaviour and the modal representation of the same user or item (counterpart of Figure 2a): "
      "further to the right, better aligned. All seeds together, at the best epoch, or at the last evaluated one where "
      "no run is finished. Dashed: the mean. The numbers: <span "
      "class=\"file\">tables/misalignment_histograms.tsv</span>");
}

std::string plugin_bars(const Study& study) {
  BarChart chart{
      "Test " + metric_title(study.metric) + " of models without and with alignment", {"without BMA", "with BMA"}, {}};
  for (const AlignmentPair& pair : alignment_pairs(study)) {
    if (pair.with == nullptr || pair.with->group != "alignment") continue;
    BarGroup group{shortened(pair.label), {}};
    if (pair.without != nullptr)
      if (const auto test = test_spread(*pair.without, study.metric)) group.bars.push_back({*test, 0});
    if (const auto test = test_spread(*pair.with, study.metric)) group.bars.push_back({*test, 1});
    chart.groups.push_back(group);
  }
  const std::string svg = bar_chart(chart);
  if (svg.empty()) return "";
  return figure("wide", svg,
                "Test " + escaped(metric_title(study.metric)) +
                    " without and with behaviour-modal alignment (counterpart of Figure 2b). Whiskers: one "
                    "standard deviation (n \u2212 1) over the seeds.");
}

}  // namespace dream_cli::study_report
