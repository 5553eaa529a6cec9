#include "report_words.hpp"

#include <algorithm>
#include <utility>

#include <dream/core/error.hpp>

#include "study_tables.hpp"

namespace dream_cli::study_report {

namespace {

struct Ranked {
  const Part* part;
  Spread test;
};

/// Models with a finished run, best first, by the seeds that are finished for all of them.
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

/// Whether no difference is left at the precision that is shown.
bool level(const Ranked& a, const Ranked& b) {
  return fixed(a.test.mean) == fixed(b.test.mean) || fixed(a.test.mean - b.test.mean) == fixed(0);
}

/// How many of them, the first included, are level with the first.
std::size_t level_with_first(const std::vector<Ranked>& models) {
  std::size_t count = 0;
  while (count < models.size() && level(models[0], models[count])) ++count;
  return count;
}

/// The labels of the first few.
std::string listed_labels(const std::vector<Ranked>& models, std::size_t count, const std::string& before = "",
                          const std::string& after = "") {
  std::vector<std::string> labels;
  for (std::size_t m = 0; m < count; ++m)
    labels.push_back(dream::concat(before, escaped(models[m].part->label), after));
  return listed(labels);
}

std::string ahead(const Ranked& first, const Ranked& second) {
  const double difference = first.test.mean - second.test.mean;
  std::string text = fixed(difference);
  if (second.test.mean > 0) text += " (" + fixed(100 * difference / second.test.mean, 1) + " %)";
  return text;
}

std::string significance_words(const Significance& tested) {
  const std::string numbers = "95 % interval " + signed_fixed(tested.low) + " to " + signed_fixed(tested.high) +
                              ", p " + (tested.p < 0.0001 ? p_text(tested.p) : "= " + p_text(tested.p)) +
                              ", paired over " + grouped(tested.users) + " users" +
                              (tested.seeds.empty() ? ""
                                                    : ", means of " + grouped(std::ssize(tested.seeds)) +
                                                          (tested.seeds.size() == 1 ? " seed" : " seeds"));
  const bool significant = tested.p < 0.05 && (tested.low > 0 || tested.high < 0);
  return std::string(" difference is ") + (significant ? "" : "not ") + "significant (" + escaped(numbers) + ").";
}

/// Whether the first is ahead of the second by more than chance, or why nobody knows.
std::string tested_words(const Study& study, const Ranked& first, const Ranked& second) {
  if (const auto tested = study.difference(first.part->id, second.part->id, study.metric))
    return "The" + significance_words(*tested);
  const std::string untested = "Whether this is more than chance ";
  if (study.find("dream") == nullptr)
    return untested + "is not tested: among models only differences from DREAM are, and this study does not train it.";
  if (first.part->id != "dream" && second.part->id != "dream")
    return untested + "is not tested: among models only differences from DREAM are.";
  return untested + "has not been tested yet.";
}

/// What is first on the other metrics; `first` is ahead of all on the study's own, or nullptr.
std::string other_metrics(const Study& study, const Part* first) {
  std::vector<std::string> same;
  std::string text;
  for (const std::string& metric : shown_metrics(study)) {
    if (metric == study.metric) continue;
    const auto models = ranked(study, metric);
    if (models.size() < 2) continue;
    const std::size_t leading = level_with_first(models);
    const std::string on = " On " + escaped(metric_title(metric)) + " ";
    if (leading == models.size()) {
      text += on + "all are level.";
    } else if (leading > 1) {
      text += on + listed_labels(models, leading) + " are level.";
    } else if (models[0].part == first) {
      same.push_back(escaped(metric_title(metric)));
    } else {
      text += on + "the first is " + escaped(models[0].part->label) + ", by " + ahead(models[0], models[1]) + ".";
    }
  }
  for (const std::string& metric : tested_metrics(study)) {
    const auto models = ranked(study, metric);
    if (metric == study.metric || models.size() < 2 || models[0].part != first) continue;
    if (const auto tested = study.difference(first->id, models[1].part->id, metric))
      text += " On " + escaped(metric_title(metric)) + ", against " + escaped(models[1].part->label) + ", the" +
              significance_words(*tested);
  }
  if (!same.empty()) text = " " + escaped(first->label) + " is also first on " + listed(same) + "." + text;
  return text;
}

/// Where DREAM is, if others are ahead of it.
std::string place_of_dream(const std::vector<Ranked>& models) {
  const auto dream = std::find_if(models.begin(), models.end(), [](const Ranked& m) { return m.part->id == "dream"; });
  if (dream == models.end() || level(models[0], *dream)) return "";
  return " " + escaped(dream->part->label) + " is number " + std::to_string(dream - models.begin() + 1) + ", " +
         ahead(models[0], *dream) + " behind.";
}

/// Which models are first, and by how much.
std::string ranking_words(const Study& study, const std::vector<Ranked>& models) {
  const std::string metric = escaped("test " + metric_title(study.metric)), data = escaped(study.data.name);
  const Ranked& first = models[0];
  const std::string result = spread_text(first.test) + " (" + of_seeds(first.test) + ")";
  const std::size_t leading = level_with_first(models);
  const std::string names = listed_labels(models, leading, "<strong>", "</strong>");
  if (models.size() == 1)
    return "On " + data + ", " + names + " is the only model with a finished run; its " + metric + " is " + result +
           ".";
  if (leading == 1)
    return "On " + data + ", " + names + " is first on " + metric + " with " + result + ", " + ahead(first, models[1]) +
           " ahead of " + escaped(models[1].part->label) + ", the second of " + std::to_string(models.size()) + ". " +
           tested_words(study, first, models[1]) + other_metrics(study, first.part) + place_of_dream(models);
  std::string text = "On " + data + ", " + names + " are level on " + metric + " at " + fixed(first.test.mean) + " (" +
                     of_seeds(first.test) + ")";
  if (leading < models.size())
    text += ", " + ahead(first, models[leading]) + " ahead of " + escaped(models[leading].part->label);
  return text + "." + other_metrics(study, nullptr) + place_of_dream(models);
}

/// Why there is no ranking.
std::string unranked_words(const Study& study) {
  const auto parts = study.group("models");
  const bool any = std::any_of(parts.begin(), parts.end(), [](const Part* part) { return finished_runs(*part) > 0; });
  if (!any) return "No model has a finished run, so there is nothing to compare yet.";
  if (study.data.test == 0) return "The data have no test interactions, so the models are not ranked.";
  return "No seed is finished for all models that have finished runs, so they are not ranked yet.";
}

/// Whether the study was made with this setting as false.
bool is_switched_off(const Study& study, const std::string& key) {
  const nlohmann::ordered_json off = false;
  for (const SharedSetting& setting : study.shared)
    if (setting.key == key) return setting.value == off;
  return study.settings.contains(key) && study.settings[key] == off;
}

/// Whether a command would still train something.
bool is_open(const Study& study) {
  return std::any_of(study.parts.begin(), study.parts.end(),
                     [&](const Part& part) { return unfinished_runs(study, part) > 0; });
}

}  // namespace

std::string summary_words(const Study& study) {
  const std::vector<Ranked> models = ranked(study, study.metric);
  std::string text = models.empty() ? unranked_words(study) : ranking_words(study, models);
  std::size_t runs = 0;
  int finished = 0, unfinished = 0;
  for (const Part& part : study.parts) {
    runs += part.runs.size();
    finished += finished_runs(part);
    unfinished += unfinished_runs(study, part);
  }
  const int failed = static_cast<int>(runs) - finished - unfinished;
  if (static_cast<std::size_t>(finished) == runs)
    return text + " All " + std::to_string(runs) + " runs of the study are finished.";
  text += " " + std::to_string(finished) + " of the study\u2019s " + std::to_string(runs) + " runs are finished";
  if (failed > 0) text += (unfinished > 0 ? ", " : " and ") + std::to_string(failed) + " failed";
  return text + (unfinished > 0 ? ", so this may change: <a href=\"#missing\">what is missing</a>."
                                : ": <a href=\"#missing\">what failed</a>.");
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
  return "<p class=\"note\">This goes on where the study stopped, and keeps what is finished; DATA is the folder of " +
         escaped(study.data.name) + ":</p>\n<pre><code>" + escaped(study.command()) + "</code></pre>\n";
}

std::string failure_words(const Study& study) {
  return "<p class=\"note\">The study\u2019s command keeps what failed and does not train it again. To try again, "
         "delete the folder and give the command; the same program most likely fails again. For other settings, as a "
         "smaller "
         "<code>learning_rate</code>, begin another study with another <code>--out</code>. DATA is the folder of " +
         escaped(study.data.name) + ":</p>\n<pre><code>" + escaped(study.command()) + "</code></pre>\n";
}

std::string no_difference_words(const Study& study) {
  const Part* dream = study.find("dream");
  const auto models = study.group("models");
  const std::string yet = is_open(study) ? " yet." : ".";
  if (dream == nullptr)
    return "Among models only differences from DREAM are tested, and this study does not train it; the study\u2019s "
           "command with <code>--models dream</code> adds it.";
  if (models.size() < 2) return "The study has no other model.";
  if (study.data.test == 0) return "The data have no test interactions.";
  if (finished_runs(*dream) == 0) return "DREAM has no finished run" + yet;
  const bool other = std::any_of(models.begin(), models.end(),
                                 [&](const Part* model) { return model != dream && finished_runs(*model) > 0; });
  if (!other) return "No other model has a finished run" + yet;
  return "No seed is finished both for DREAM and for another model" + yet;
}

std::string no_lists_words(const Study& study) {
  if (study.data.test == 0) return "The data have no test interactions.";
  return "They are computed when the study\u2019s command ends, from the vectors of its finished runs.";
}

std::string no_diagnosis_words(const Study& study, const std::string& what) {
  bool evaluated = false, diagnosed = false;
  for (const Part& part : study.parts)
    for (const StudyRun& run : part.runs)
      for (const EpochLine& line : run.lines) {
        evaluated = evaluated || !line.valid.empty();
        diagnosed = diagnosed || line.diagnosis.has_value();
      }
  if (!diagnosed && is_switched_off(study, "diagnostics"))
    return "The study was made with <code>diagnostics = false</code>, so its runs did not look for this.";
  if (!evaluated) return no_evaluation_words(study);
  if (!diagnosed) return "The runs wrote down no diagnostics.";
  return (is_open(study) ? "No run evaluated so far is of a model with " : "The study has no model with ") + what + ".";
}

std::string no_evaluation_words(const Study& study) {
  if (study.group("models").empty()) return "The study has no models.";
  return is_open(study) ? "No run has been evaluated yet." : "No run has been evaluated.";
}

}  // namespace dream_cli::study_report
