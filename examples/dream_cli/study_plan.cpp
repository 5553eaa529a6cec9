#include "study_plan.hpp"

#include <algorithm>

#include <dream/core/error.hpp>

namespace dream_cli {

const std::vector<std::string>& study_groups() {
  static const std::vector<std::string> all{"models", "ablations", "embeddings", "alignment"};
  return all;
}

namespace {

bool has(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::vector<StudyPart> make_parts() {
  const std::vector<std::pair<std::string, std::string>> labels{
      {"dream", "DREAM"}, {"mf", "MF-BPR"}, {"lightgcn", "LightGCN"}, {"vbpr", "VBPR"},
      {"bm3", "BM3"},     {"mgcn", "MGCN"}, {"freedom", "FREEDOM"}};
  std::vector<StudyPart> parts;
  parts.reserve(2 * labels.size() + 10);
  for (const auto& [model, label] : labels) parts.push_back({model, "models", label, model, {}, true, ""});
  parts.push_back({"dream-frozen",
                   "embeddings",
                   "DREAM, frozen modal embeddings",
                   "dream",
                   {{"train_features", false}},
                   false,
                   "dream"});
  const auto without = [&](const std::string& id, const std::string& what, Assignment changes) {
    parts.push_back({id, "ablations", "without " + what, "dream", std::move(changes), false, "dream"});
  };
  without("no-gate", "the filter gate", {{"gate", "none"}});
  without("no-graphs", "the relation graphs", {{"item_graph", "none"}, {"user_graph", "none"}});
  without("no-s3", "the similarity supervised signal", {{"s3_weight", 0.0}});
  without("no-inter", "inter-alignment", {{"inter_weight", 0.0}});
  without("no-intra", "intra-alignment", {{"intra_weight", 0.0}});
  without("no-alignment", "behaviour-modal alignment", {{"bma", "off"}});
  without("no-behaviour", "the behaviour line", {{"behaviour_line", false}});
  without("no-modal", "the modal line", {{"modal_line", false}});
  for (const auto& [model, label] : labels)
    if (model != "dream" && model != "mf" && model != "lightgcn")
      parts.push_back({model + "+bma", "alignment", label + " with BMA", model, {{"bma", "on"}}, false, model});
  return parts;
}

}  // namespace

const std::vector<StudyPart>& all_parts() {
  static const std::vector<StudyPart> all = make_parts();
  return all;
}

std::vector<std::string> named_parts(const std::vector<std::string>& groups, const std::vector<std::string>& models,
                                     std::vector<std::string>& notes) {
  std::vector<std::string> ids, empty;
  for (const std::string& group : groups) {
    bool any = false;
    for (const StudyPart& part : all_parts()) {
      if (part.group != group || !has(models, part.model) || has(ids, part.id)) continue;
      ids.push_back(part.id);
      any = true;
    }
    if (!any && !has(empty, group)) empty.push_back(group);
  }
  const auto owner = [](const std::string& group) {
    return group == "alignment" ? "vbpr, bm3, mgcn and freedom" : "dream";
  };
  for (const std::string& group : empty)
    notes.push_back("nothing of the group " + group + " is trained: it is of " + owner(group) +
                    ", and --models names none of them");
  DREAM_EXPECT(!ids.empty(), "study: ", notes.empty() ? "no group is named" : notes.front(),
               "; add one to --models, or take --groups models");
  for (const StudyPart& part : all_parts()) {
    if (part.reference.empty() || !has(ids, part.id) || has(ids, part.reference)) continue;
    ids.push_back(part.reference);
    notes.push_back(part.reference + " is trained too: the group " + part.group + " is compared with it");
  }
  return ids;
}

}  // namespace dream_cli
