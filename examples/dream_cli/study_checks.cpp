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
