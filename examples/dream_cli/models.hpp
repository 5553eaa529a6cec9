// The models that the program knows, made from the settings.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <dream/models/any_model.hpp>

#include "options.hpp"

namespace dream_cli {

/// Whether the model reads features as it is set.
inline bool reads_features(const Settings& s) {
  return s.model_name == "dream" ? s.model.modal_line : s.model_name != "mf" && s.model_name != "lightgcn";
}

/// Whether the model's loss has behaviour-modal alignment. Asking for it where there is but one domain is an error.
inline bool aligns(const Settings& s) {
  DREAM_EXPECT(s.bma != Bma::on || reads_features(s), "bma is on, and ", s.model_name,
               " has no modal representations to align; take vbpr, bm3, freedom, mgcn or dream with its modal line");
  return s.bma == Bma::on || (s.bma == Bma::own && s.model_name == "dream");
}

/// What of the data the model needs. `data_name` is named in errors.
inline dream::ModelDataOptions data_options(const Settings& s, const dream::Dataset& data,
                                            const std::string& data_name) {
  dream::ModelDataOptions options = s.model.data;
  options.modal = reads_features(s);
  DREAM_EXPECT(!options.modal || !data.modalities.empty(), data_name, ": has no features, and ", s.model_name,
               " needs them; add *_feat.npy, or use --model lightgcn",
               s.model_name == "dream" ? " or set modal_line=false" : "");
  const bool is_dream = s.model_name == "dream";
  options.user_similarity = is_dream && s.model.s3_weight > 0 && s.model.s3_user_weight > 0;
  if (is_dream) return options;
  options.user_graph = dream::UserGraph::none;
  if (s.model_name == "freedom") {
    DREAM_EXPECT(options.item_graph != dream::ItemGraph::none, "freedom needs item-item graphs; leave item_graph out");
    options.item_graph = dream::ItemGraph::binary;
  } else if (s.model_name != "mgcn") {
    options.item_graph = dream::ItemGraph::none;
  }
  return options;
}

/// The model that the settings name. `data` must outlive it and have been prepared with `prepared`.
template <class B>
dream::AnyModel<float, B> make_model(dream::Context<B>& context, const dream::ModelData<float, B>& data,
                                     const dream::ModelDataOptions& prepared, const Settings& s) {
  const auto made = [&]<template <class, class> class Model>(auto options) {
    return dream::AnyModel<float, B>(std::make_unique<Model<float, B>>(context, data, options, s.fit.seed));
  };
  // What several models have under one name is set once.
  const auto common = [&](auto options) {
    options.embedding_size = s.model.embedding_size;
    if constexpr (requires { options.n_ui_layers; }) options.n_ui_layers = s.model.n_ui_layers;
    if constexpr (requires { options.n_mm_layers; }) options.n_mm_layers = s.model.n_mm_layers;
    if constexpr (requires { options.batch_size; }) options.batch_size = s.fit.batch_size;
    if constexpr (requires { options.train_features; }) options.train_features = s.model.train_features;
    if constexpr (requires { options.align; }) {
      options.align = aligns(s);
      options.alignment = s.model.alignment;
    }
    return options;
  };
  if (s.model_name == "mf") return made.template operator()<dream::MatrixFactorisation>(common(s.mf));
  if (s.model_name == "lightgcn") return made.template operator()<dream::LightGcn>(common(s.lightgcn));
  if (s.model_name == "vbpr") return made.template operator()<dream::Vbpr>(common(s.vbpr));
  if (s.model_name == "bm3") return made.template operator()<dream::Bm3>(common(s.bm3));
  if (s.model_name == "mgcn") {
    dream::MgcnOptions options = common(s.mgcn);
    options.temperature = s.model.alignment.temperature;
    return made.template operator()<dream::Mgcn>(options);
  }
  if (s.model_name == "freedom") {
    dream::FreedomOptions options = common(s.freedom);
    if (s.model.modality_weights == dream::ModalityWeights::given)
      options.modality_weights = s.model.modality_weight_values;
    return made.template operator()<dream::Freedom>(options);
  }
  dream::DreamOptions options = common(s.model);
  options.data = prepared;
  if (!aligns(s)) options.alignment.inter_weight = options.alignment.intra_weight = 0;
  return made.template operator()<dream::Dream>(options);
}

}  // namespace dream_cli
