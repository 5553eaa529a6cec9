#include "other_names.hpp"

#include <algorithm>

#include <dream/data/split_files.hpp>

#include "key_makers.hpp"

namespace dream_cli {

namespace {

using Value = nlohmann::json;

bool always(const Value&) { return true; }
bool never(const Value&) { return false; }
bool is_true(const Value& v) { return v == Value(true); }
bool is_false(const Value& v) { return v == Value(false); }
bool is_zero(const Value& v) { return v.is_null() || (v.is_number() && v.get<double>() == 0); }
bool is_one(const Value& v) { return v.is_number() && v.get<double>() == 1; }
bool is_none(const Value& v) { return v.is_null() || v == Value(false); }

bool is_word(const Value& v, const std::string& word) {
  return v.is_string() && key_makers::lower(v.get<std::string>()) == word;
}

/// Whether all words of a list are metrics that every run reports.
bool are_our_metrics(const Value& v) {
  for (const Value& metric : key_makers::as_list(v)) {
    bool ours = false;
    for (const char* name : dream::RankingMetrics::names) ours = ours || is_word(metric, name);
    if (!ours) return false;
  }
  return true;
}

/// Whether files are named by the part of the split that they hold.
bool are_parts_by_name(const Value& v) {
  if (v.is_null()) return true;
  const Value parts = key_makers::as_list(v);
  for (std::size_t p = 0; p < parts.size(); ++p)
    if (!parts[p].is_string() || dream::detail::part_named(parts[p].get<std::string>()) != p) return false;
  return parts.size() <= 3;
}

/// Whether one uniform negative is drawn for an interaction.
bool is_one_uniform(const Value& v) {
  if (!v.is_object()) return false;
  if (v == Value{{"uniform", 1}}) return true;
  return is_word(v.value("distribution", Value()), "uniform") && is_one(v.value("sample_num", Value(1))) &&
         is_none(v.value("dynamic", Value(false)));
}

bool loads_interactions_only(const Value& v) {
  return v.is_null() || (v.is_object() && v.size() == 1 && v.contains("inter"));
}

std::vector<OtherName> make_other_names() {
  std::vector<OtherName> all;
  const auto same = [&](const char* name, const char* ours) {
    all.push_back({name, OtherName::Fate::same, ours, never});
  };
  const auto called = [&](const char* name, const char* text) {
    all.push_back({name, OtherName::Fate::called, text, never});
  };
  const auto missing = [&](const char* name, const char* text, bool (*harmless)(const Value&)) {
    all.push_back({name, OtherName::Fate::missing, text, harmless});
  };

  // Other spellings.
  same("lr", "learning_rate");
  same("batch_size", "train_batch_size");
  same("embedding_dim", "embedding_size");
  same("factors", "embedding_size");
  same("tau", "temperature");
  same("behavior_line", "behaviour_line");
  same("feature_normalisation", "feature_normalization");
  same("remove_duplicates", "merge_duplicates");
  same("USER_ID_FIELD", "user_column");
  same("ITEM_ID_FIELD", "item_column");
  same("RATING_FIELD", "rating_column");
  same("TIME_FIELD", "time_column");

  // The model.
  called("n_layers",
         "n_ui_layers (user-item graph: what MMRec's LightGCN and BM3 mean) or n_mm_layers (item-item graphs: MGCN)");
  called("mm_layers", "n_mm_layers");
  called("k", "embedding_size, knn_k or topk");
  called("dropout", "edge_dropout (what FREEDOM means) or target_dropout (BM3)");
  called("mm_image_weight",
         "modality_weight_values, where modality_weights = given: the weights in the order of the modalities");
  called("cl_loss", "cl_weight");
  called("reg_weights", "reg_weight, one number");
  called("regularization", "reg_weight, which is scaled otherwise (docs/components.md)");
  called("lambda_reg", "reg_weight, which is scaled otherwise (docs/components.md)");
  missing("feat_embed_dim", "features are projected to embedding_size columns", never);
  missing("lambda_coeff", "MMRec's FREEDOM does not use it, and no other model here has it", always);
  missing("degree_ratio", "MMRec's FREEDOM does not use it, and no other model here has it", always);
  missing("is_multimodal_model", "model = mf or lightgcn leaves the features out", is_true);
  missing("loss_type", "every model has the loss of its paper, and those with a ranking loss have BPR",
          [](const Value& v) { return is_word(v, "bpr"); });
  missing("MAX_ITEM_LIST_LENGTH", "no model here reads sequences", never);

  // Training.
  missing("learner", "Adam trains every model", [](const Value& v) { return is_word(v, "adam"); });
  missing("weight_decay", "the losses have a regulariser, reg_weight", is_zero);
  missing("clip_grad_norm", "gradients are not clipped", is_none);
  missing("req_training", "every model is trained", is_true);
  missing("NEG_PREFIX", "negatives have no names", always);
  missing("neg_sampling", "one negative is drawn for an interaction, uniformly", is_one_uniform);
  missing("train_neg_sample_args", "one negative is drawn for an interaction, uniformly", is_one_uniform);
  missing("training_neg_sample_num", "one negative is drawn for an interaction, uniformly", is_one);
  missing("use_neg_sampling", "one negative is drawn for an interaction, uniformly", is_true);
  missing("use_full_sampling", "batches are interactions, not users", is_false);
  called("early_stop", "stopping_step");
  called("iterations", "epochs");
  called("max_iter", "epochs");
  called("n_epochs", "epochs");
  missing("hyper_parameters", "dream tune searches the keys that have lists: dream tune --set 'reg_weight=[0.1, 0.01]'",
          never);

  // Evaluation.
  missing("metrics", "recall, ndcg, precision, map, hit and mrr are always reported", are_our_metrics);
  missing("valid_metric_bigger", "larger is better in every metric", is_true);
  missing("eval_batch_size", "the blocks of the ranking have a size that suits the cache", always);
  missing("metric_decimal_place", "metrics are not rounded", always);
  missing("loss_decimal_place", "losses are not rounded", always);
  missing("filter_out_cod_start_users", "metrics leave out users without training interactions", is_true);
  missing("repeatable", "training items are left out of the ranking", is_false);
  called("eval_args",
         "split (random for RS and RO, time for RS and TO, last for LS) with split_ratio; every item is ranked");

  // Data.
  missing("dataset", "--data names the folder", always);
  missing("data_path", "--data names the folder", always);
  missing("benchmark_filename", "NAME.train.inter, NAME.valid.inter and NAME.test.inter are found by their names",
          are_parts_by_name);
  missing("inter_splitting_label", "the column of the split is x_label, and split = given reads it",
          [](const Value& v) { return is_word(v, "x_label"); });
  missing("LABEL_FIELD", "every interaction that is read is a positive one; min_rating leaves out others", never);
  called("threshold", "min_rating");
  called("val_interval", "min_rating, of the rating column: '[3,inf)' is min_rating = 3");
  called("user_inter_num_interval", "k_core, of users and items: '[5,inf)' of both is k_core = 5");
  called("item_inter_num_interval", "k_core, of users and items: '[5,inf)' of both is k_core = 5");
  missing("load_col", "columns that are not needed are not read; the key modalities selects features",
          loads_interactions_only);
  missing("unload_col", "columns that are not needed are not read; the key modalities selects features", is_none);
  missing("seq_separator", "blanks separate the numbers of a float_seq field", [](const Value& v) { return v == " "; });
  missing("vision_feature_file", "every file WHAT_feat.npy beside the table is the modality WHAT",
          [](const Value& v) { return v == "image_feat.npy"; });
  missing("text_feature_file", "every file WHAT_feat.npy beside the table is the modality WHAT",
          [](const Value& v) { return v == "text_feat.npy"; });
  missing("user_graph_dict_file", "user graphs are computed (user_graph)", always);
  missing("end2end", "features are read from files", is_false);
  missing("use_raw_features", "features are read from files", is_false);
  for (const char* name : {"max_txt_len", "max_img_size", "vocab_size", "type_vocab_size", "hidden_size",
                           "pad_token_id", "max_position_embeddings", "layer_norm_eps", "hidden_dropout_prob"})
    missing(name, "there are no encoders of pictures and texts", always);

  // What computes, and where things go.
  missing("use_gpu", "backend = cpu, cuda or auto says what computes", always);
  missing("gpu_id", "backend = cpu, cuda or auto says what computes, and CUDA_VISIBLE_DEVICES on which GPU", always);
  called("device", "backend: cpu, cuda or auto");
  called("num_threads", "--threads, an option of the command line");
  missing("reproducibility", "the same seed gives the same bits", always);
  missing("state", "notes and errors go to standard error", always);
  missing("show_progress", "progress goes to standard error", always);
  missing("checkpoint_dir", "--out names the folder of the run", always);
  missing("save_recommended_topk", "dream recommend writes lists", always);
  missing("recommend_topk", "dream recommend writes lists", always);
  missing("save_dataset", "the data are read anew", always);
  missing("save_dataloaders", "the data are read anew", always);
  missing("log_wandb", "--out names the folder with all results", always);
  missing("wandb_project", "--out names the folder with all results", always);
  return all;
}

}  // namespace

const std::vector<OtherName>& other_names() {
  static const std::vector<OtherName> all = make_other_names();
  return all;
}

const OtherName* find_other_name(const std::string& name) {
  const auto& all = other_names();
  const auto found = std::find_if(all.begin(), all.end(), [&](const OtherName& other) { return other.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace dream_cli
