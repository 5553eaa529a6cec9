// Everything that a run can be told, in the library's own option structs.
#pragma once

#include <dream/data/read_dataset.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/train/fit.hpp>
#include <string>

namespace dream_cli {

struct Settings {
  std::string model_name = "dream";
  std::string backend = "cpu";
  dream::DreamOptions model;
  dream::LightGcnOptions lightgcn;       ///< sizes are those of `model`
  dream::MatrixFactorisationOptions mf;  ///< likewise
  dream::FitOptions fit;
  dream::ReadOptions read;
};

}  // namespace dream_cli
