// The models that the program knows, made from the settings.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dream/models/any_model.hpp>

#include "options.hpp"

namespace dream_cli {

/// Whether the model reads features as it is set.
inline bool reads_features(const Settings& s) {
  return s.model_name == "dream" ? s.model.modal_line : s.model_name != "mf" && s.model_name != "lightgcn";
}

/// Whether the model's loss has behaviour-modal alignment.
inline bool aligns(const Settings& s) { return s.bma == Bma::on || (s.bma == Bma::own && s.model_name == "dream"); }

/// Asking for alignment of which nothing, or not the half that was named, would be in the loss is an error. What only
/// the data can tell is left to expect_trainable.
inline void expect_alignment_works(const Settings& s) {
  if (s.bma != Bma::on) return;
  const std::string& name = s.model_name;
  DREAM_EXPECT(reads_features(s), "bma is on, and ", name,
               " has no modal representations to align; take vbpr, bm3, freedom, mgcn or dream with its modal line");
  DREAM_EXPECT(s.model.behaviour_line,
               "bma is on, and behaviour_line is false: there is no behaviour to align with; leave behaviour_line out, "
               "or set bma=off");
  const bool is_dream = name == "dream";
  dream::AlignmentOptions options = s.model.alignment;
  if (is_dream && options.intra == dream::Intra::modalities) options.intra = dream::Intra::moments;  // it has both
  dream::expect_alignable(options, name, name != "bm3" && name != "freedom");
}

/// Whether intra-alignment between modalities is asked for.
inline bool aligns_modalities(const Settings& s) {
  return s.model_name == "dream" && aligns(s) && s.model.alignment.intra == dream::Intra::modalities &&
         s.model.alignment.intra_weight > 0;
}

/// Weights of modalities that the model does not have, or that would not be read, are an error.
inline void expect_modality_weights_work(const Settings& s, std::size_t modalities) {
  const bool is_freedom = s.model_name == "freedom";
  if (!is_freedom && s.model_name != "dream") return;
  const std::vector<double>& values = s.model.modality_weight_values;
  DREAM_EXPECT(!is_freedom || s.modality_weights != ModalityWeights::learned,
               "modality_weights is learned, which dream alone has; take own, equal or given for freedom");
  if (s.modality_weights != ModalityWeights::given) {
    DREAM_EXPECT(values.empty(),
                 "modality_weight_values is set, but modality_weights is not given, so it would not be ",
                 "read; set modality_weights=given too, or leave the values out");
    return;
  }
  DREAM_EXPECT(values.size() == modalities, "modality_weight_values has ", values.size(), " values for ", modalities,
               " modalities");
  DREAM_EXPECT(std::any_of(values.begin(), values.end(), [](double v) { return v > 0; }),
               "modality_weight_values: all are 0; one must be above");
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
  } else if (s.model_name == "mgcn") {
    DREAM_EXPECT(options.item_graph != dream::ItemGraph::none, "mgcn needs item-item graphs; leave item_graph out");
  } else {
    options.item_graph = dream::ItemGraph::none;
  }
  return options;
}

/// Settings that cannot be trained on the data are an error that says what to change.
inline void expect_trainable(const Settings& s, const dream::Dataset& data, const std::string& data_name) {
  const std::string& metric = s.fit.valid_metric;
  const int k = std::stoi(metric.substr(metric.find('@') + 1));
  const auto& ks = s.fit.top_k;
  DREAM_EXPECT(std::find(ks.begin(), ks.end(), k) != ks.end(), "valid_metric ", metric, " needs ", k, " in topk");
  const int largest = *std::max_element(ks.begin(), ks.end());
  DREAM_EXPECT(largest <= data.item_count(), "topk asks for ", largest, " items, but ", data_name, " has ",
               data.item_count(), " items");
  DREAM_EXPECT(s.read.columns.weight.empty() || s.model_name != "bm3",
               "weight_column is set, but bm3 has no ranking loss that weights could enter; leave it out, or choose "
               "another model");
  expect_alignment_works(s);
  const bool modal = data_options(s, data, data_name).modal, is_dream = s.model_name == "dream";
  DREAM_EXPECT(!is_dream || modal || s.model.behaviour_line, "behaviour_line and modal_line cannot both be off");
  if (!modal) return;
  expect_modality_weights_work(s, data.modalities.size());
  DREAM_EXPECT(!aligns_modalities(s) || data.modalities.size() > 1, "intra=modalities aligns modalities with one ",
               "another, and ", data_name, " has but one (", data.modalities[0].name,
               "); take intra=moments, or intra=none");
  for (const auto& modality : data.modalities)
    DREAM_EXPECT((s.model_name != "mgcn" || modality.name != "attention") &&
                     (s.model_name != "bm3" || modality.name != "predictor"),
                 data_name, ": ", s.model_name, " calls parameters of its own ", modality.name, "; rename ",
                 modality.name, "_feat.npy");
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
    if (s.modality_weights == ModalityWeights::given) options.modality_weights = s.model.modality_weight_values;
    if (s.modality_weights == ModalityWeights::equal)
      options.modality_weights.assign(data.modalities.size(), 1.0 / static_cast<double>(data.modalities.size()));
    return made.template operator()<dream::Freedom>(options);
  }
  dream::DreamOptions options = common(s.model);
  options.data = prepared;
  if (s.modality_weights == ModalityWeights::given) options.modality_weights = dream::ModalityWeights::given;
  if (s.modality_weights == ModalityWeights::learned) options.modality_weights = dream::ModalityWeights::learned;
  if (!aligns(s)) options.alignment.inter_weight = options.alignment.intra_weight = 0;
  return made.template operator()<dream::Dream>(options);
}

}  // namespace dream_cli
