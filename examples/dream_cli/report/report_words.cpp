#include "report_words.hpp"

#include <algorithm>
#include <utility>

#include "study_tables.hpp"

namespace dream_cli::study_report {

namespace {

struct Ranked {
  const Part* part;
  Spread test;
};

/// Models with a run that is over, best first, by the seeds that are over in all of them.
std::vector<Ranked> ranked(const Study& study, const std::string& metric) {
  std::vector<Ranked> models;
  const std::vector<std::int64_t> seeds = shared_seeds(study.group("models"));
  for (const Part* part : study.group("models"))
    if (const auto test = test_spread(*part, metric, seeds)) models.push_back({part, *test});
  std::stable_sort(models.begin(), models.end(),
                   [](const Ranked& a, const Ranked& b) { return a.test.mean > b.test.mean; });
  return models;
}

std::string of_seeds(const Spread& spread) {
  return spread.runs == 1 ? "one seed" : "mean of " + std::to_string(spread.runs) + " seeds";
}

/// "a, b and c"
std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return text;
}

std::string ahead(const Ranked& first, const Ranked& second) {
  const double difference = first.test.mean - second.test.mean;
  std::string text = fixed(difference);
  if (second.test.mean > 0) text += " (" + fixed(100 * difference / second.test.mean, 1) + " %)";
  return text;
}

std::string tested_words(const std::optional<Significance>& tested, const std::string& where = "") {
  if (!tested) return where.empty() ? "Whether this is more than chance has not been tested." : "";
  const std::string numbers = "95 % interval " + signed_fixed(tested->low) + " to " + signed_fixed(tested->high) +
                              ", p " + (tested->p < 0.0001 ? p_text(tested->p) : "= " + p_text(tested->p)) +
                              ", paired over " + grouped(tested->users) + " users";
  const bool significant = tested->p < 0.05 && (tested->low > 0 || tested->high < 0);
  return where + (where.empty() ? "The" : " the") + " difference is " + (significant ? "" : "not ") + "significant (" +
         escaped(numbers) + ").";
}

std::string other_metrics(const Study& study, const Part* first) {
  std::vector<std::string> same;
  std::string text;
  for (const std::string& metric : shown_metrics(study)) {
    if (metric == study.metric) continue;
    const auto models = ranked(study, metric);
    if (models.size() < 2) continue;
    if (models[0].part == first) {
      same.push_back(escaped(metric_title(metric)));
    } else {
      text += " On " + escaped(metric_title(metric)) + " the first is " + escaped(models[0].part->label) + ", by " +
              ahead(models[0], models[1]) + ".";
    }
  }
  for (const std::string& metric : tested_metrics(study)) {
    const auto models = ranked(study, metric);
    if (metric == study.metric || models.size() < 2 || models[0].part != first) continue;
    const std::string tested =
        tested_words(study.difference(first->id, models[1].part->id, metric),
                     "On " + escaped(metric_title(metric)) + ", against " + escaped(models[1].part->label) + ",");
    if (!tested.empty()) text += " " + tested;
  }
  if (!same.empty()) text = " " + escaped(first->label) + " is also first on " + listed(same) + "." + text;
  return text;
}

}  // namespace

std::string summary_words(const Study& study) {
  const std::string metric = escaped("test " + metric_title(study.metric));
  const std::vector<Ranked> models = ranked(study, study.metric);
  std::string text;
  if (models.empty()) {
    const auto parts = study.group("models");
    const bool any = std::any_of(parts.begin(), parts.end(), [](const Part* part) { return finished_runs(*part) > 0; });
    text = any ? "No seed is over in all models that have runs, so they are not ranked yet."
               : "No model has a run that is over, so there is nothing to compare yet.";
  } else {
    const Ranked& first = models[0];
    text = "On " + escaped(study.data.name) + ", <strong>" + escaped(first.part->label) + "</strong> " +
           (models.size() > 1 ? "is first on " : "is the only model with a run that is over; its ") + metric +
           (models.size() > 1 ? " with " : " is ") + spread_text(first.test) + " (" + of_seeds(first.test) + ")";
    if (models.size() > 1) {
      text += ", " + ahead(first, models[1]) + " ahead of " + escaped(models[1].part->label) + ", the second of " +
              std::to_string(models.size()) + ". " +
              tested_words(study.difference(first.part->id, models[1].part->id, study.metric)) +
              other_metrics(study, first.part);
      const auto dream =
          std::find_if(models.begin(), models.end(), [](const Ranked& m) { return m.part->id == "dream"; });
      if (dream > models.begin() && dream != models.end())
        text += " " + escaped(dream->part->label) + " is number " + std::to_string(dream - models.begin() + 1) + ", " +
                ahead(first, *dream) + " behind.";
    } else {
      text += ".";
    }
  }
  std::size_t runs = 0;
  int over = 0;
  for (const Part& part : study.parts) {
    runs += part.runs.size();
    over += finished_runs(part);
  }
  if (static_cast<std::size_t>(over) == runs)
    return text + " All " + std::to_string(runs) + " runs of the study are over.";
  return text + " " + std::to_string(over) + " of the study\u2019s " + std::to_string(runs) +
         " runs are over, so this may change: <a href=\"#missing\">what is missing</a>.";
}

std::string method_words(const Study& study) {
  std::vector<std::string> seeds;
  for (const std::int64_t seed : study.seeds) seeds.push_back(std::to_string(seed));
  std::string program;
  if (!study.program.empty())
    program =
        " Trained by dream " + escaped(study.program) + " on the backend <code>" + escaped(study.backend) + "</code>.";
  return "<p>Split: " + escaped(study.split) + ". Seeds: " + listed(seeds) + ". Fingerprint of the data: <code>" +
         escaped(study.data.fingerprint) + "</code>." + program + " Epochs and settings were chosen on validation by " +
         escaped(metric_title(study.metric)) +
         "; test was scored once, with the final embeddings of the best epoch, ranking all items with the "
         "user\u2019s training " +
         (study.mask_valid_in_test ? "and validation items" : "items") + " left out.</p>\n";
}

std::string fidelity_words() {
  return R"html(<p>DREAM is <cite>A Dual Representation Learning Model for Multimodal Recommendation</cite> (arXiv 2404.11119). No code was
published with it. This library was written from the paper’s abstract, its figure captions and summaries of it. So the
architecture is the paper’s, and many details are not: where the source was silent, a form was chosen, made an option with a
name, and the default was searched for on validation data. The numbers of this report are those of this study’s runs; none is
taken from the paper.</p>
<h3>Said by the paper</h3>
<ul>
<li>Two lines of representation, behaviour and modality, fused at the end; a user-item graph convolution in LightGCN’s form.</li>
<li>Trainable modal embeddings, started at the features: frozen ones do worse, and S3 keeps trainable ones near the features.</li>
<li>S3 as the mean square error of batch similarity matrices; behaviour-modal alignment (BMA) as intra- and inter-alignment, in words.</li>
<li>The diagnostics: modal information forgetting and misalignment, after its Figures 1 and 2.</li>
</ul>
<h3>Chosen in this library</h3>
<ul>
<li>The form of the filter gate, the relation graphs among items and users, how users’ modal vectors arise, the fusion of
modalities and of the two lines, the forms and weights of inter- and intra-alignment, and the regulariser.</li>
<li>One default departs from what the paper shows, because validation data said so: the user-user graph is off.</li>
<li>Training and evaluation follow the conventions of the MMRec family; ties rank by the smaller item index, and users without
a training interaction are counted apart.</li>
<li>The models that DREAM is compared with are written from their texts on the same parts, not run from their authors’ code.</li>
<li>Alignment and uniformity are measured after Wang and Isola (ICML 2020), and the share of a modality is defined in this
library; the paper does not have them.</li>
<li>Significance is tested over users, for the seeds that were trained; the spread over seeds is in the tables.</li>
</ul>
<p><code>docs/fidelity.md</code> of the library says it part by part.</p>
)html";
}

std::string missing_words(const Study& study) {
  return "<p class=\"note\">This goes on where the study stopped, and keeps what is over; DATA is the folder of " +
         escaped(study.data.name) + ":</p>\n<pre><code>" + escaped(study.command()) + "</code></pre>\n";
}

}  // namespace dream_cli::study_report
