// Whether the differences of a study are more than chance, over the users.
#pragma once

#include <string>
#include <vector>

#include "study_file.hpp"

namespace dream_cli {

/// Writes significance.json: DREAM against every other model, and every other part against what it is compared with, on
/// the valid metric's and on Recall and NDCG at its K, each over the seeds that are over for both. What each test user
/// got, and how the lists are beside their hits, is kept in the runs' test_users.json; a run without that and without
/// best.safetensors is left out, with a note. So is one whose best.safetensors cannot be read; returns what is wrong
/// with those, a sentence each.
std::vector<std::string> write_significance(const StudyPlan& plan, int threads);

}  // namespace dream_cli
