#include "study_checks.hpp"

#include <algorithm>

#include "models.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

std::string leave_out(const StudyPart& part) {
  return part.group == "models" ? dream::concat("; or leave out the model ", part.model, ", by --models")
                                : dream::concat("; or leave out the group ", part.group, ", by --groups");
}

/// With every key that the model does not read as it is set at one value, as far as parts of a study change it.
Settings as_read(Settings s) {
  if (s.model_name != "dream") return s;
  dream::DreamOptions& m = s.model;
  dream::AlignmentOptions& alignment = m.alignment;
  if (!aligns(s)) alignment.inter_weight = alignment.intra_weight = 0;
  if (alignment.intra == dream::Intra::none) alignment.intra_weight = 0;
  if (alignment.intra_weight == 0) alignment.intra = dream::Intra::none;
  s.bma = Bma::own;
  if (m.n_mm_layers == 0) m.data.item_graph = dream::ItemGraph::none;
  if (m.modal_line) return s;
  const dream::DreamOptions unread;
  m.train_features = unread.train_features;
  m.gate = unread.gate;
  m.data.item_graph = unread.data.item_graph;
  m.data.user_graph = unread.data.user_graph;
  m.s3_weight = unread.s3_weight;
  return s;
}

/// Whether two parts are trained in the same way, whatever is chosen.
bool are_same(const SearchSpace& space, const StudyPart& a, const StudyPart& b) {
  for (std::int64_t n = 0; n < std::min<std::int64_t>(space.size(), 10000); ++n) {
    const Settings chosen = with(space.settings, space.at(n));
    if (first_difference(as_read(with(chosen, a.changes)), as_read(with(chosen, b.changes)))) return false;
  }
  return true;
}

}  // namespace

void expect_can_train(const StudyPlan& plan, const dream::Dataset& data) {
  std::string without;
  for (const StudyPart& part : plan.asked)
    if (data.modalities.empty() && part.group == "models" &&
        reads_features(with(plan.spaces.at(part.model).settings, part.changes)))
      without += (without.empty() ? "" : ", ") + part.id;
  DREAM_EXPECT(without.empty(), plan.data_folder, ": has no features, and ", without,
               " would read them; add *_feat.npy, or take --models mf,lightgcn");
  for (const StudyPart& part : plan.asked) {
    const SearchSpace& space = plan.spaces.at(part.model);
    for (std::int64_t n = 0; n < std::min<std::int64_t>(space.size(), 10000); ++n) {
      try {
        expect_trainable(plan.run_settings(part, space.at(n), plan.common.fit.seed), data, plan.data_folder);
      } catch (const dream::error& error) {
        dream::fail("the study's part ", part.id, ": ", error.what(), leave_out(part));
      }
    }
  }
}

void expect_parts_differ(const StudyPlan& plan) {
  for (const StudyPart& part : plan.asked) {
    const auto reference = std::find_if(all_parts().begin(), all_parts().end(),
                                        [&](const StudyPart& other) { return other.id == part.reference; });
    const SearchSpace& space = plan.spaces.at(part.model);
    if (reference == all_parts().end() || !are_same(space, part, *reference)) continue;
    std::string to_leave_out;
    Settings defaults;
    defaults.model_name = part.model;
    for (const Key& key : keys()) {
      if (!plan.given.contains(key.name)) continue;
      SearchSpace without = space;
      key.set(without.settings, key.get(defaults));
      if (!are_same(without, part, *reference)) to_leave_out += (to_leave_out.empty() ? "" : " or ") + key.name;
    }
    if (to_leave_out.empty()) to_leave_out = "what makes it so, in them or in the grid of " + part.model;
    dream::fail("the study's part ", part.id, ": would be trained just as ", part.reference,
                ", which it is compared with, by the settings that all runs share; leave out ", to_leave_out,
                leave_out(part));
  }
}

void expect_trained_so(const StudyPlan& plan) {
  for (const auto& [model, space] : plan.spaces)
    for (std::int64_t t = 0; !space.dimensions.empty() && t < space.size(); ++t)
      expect_trained_with(with(space.settings, space.at(t)), plan.trial_folder(model, t));
  for (const StudyPart& part : plan.parts) {
    const auto chosen = choice_of(plan, part.model);
    for (const std::uint64_t seed : plan.seeds)
      if (chosen) expect_trained_with(plan.run_settings(part, *chosen, seed), plan.run_folder(part, seed));
  }
}

}  // namespace dream_cli
