// What must hold of a study before anything is trained.
#pragma once

#include <dream/data/dataset.hpp>

#include "study_file.hpp"

namespace dream_cli {

/// What is asked for can be trained, whatever is chosen.
void expect_can_train(const StudyPlan& plan, const dream::Dataset& data);

/// No part is trained just as the one that it is compared with; the error names the settings which make it so.
void expect_parts_differ(const StudyPlan& plan);

/// What is in the folders already was trained with the plan's settings.
void expect_trained_so(const StudyPlan& plan);

}  // namespace dream_cli
