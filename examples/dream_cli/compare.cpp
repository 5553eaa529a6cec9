#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include <dream/core/file.hpp>
#include <dream/data/fingerprint.hpp>
#include <dream/eval/ranking.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/train/checkpoint.hpp>

#include "commands.hpp"
#include "stored_run.hpp"
#include "table.hpp"

namespace dream_cli {

namespace {

using nlohmann::ordered_json;

ordered_json read_json(const std::string& path) {
  ordered_json json = dream::parse_json<ordered_json>(dream::read_file(path), path);
  DREAM_EXPECT(json.is_object(), path, ": not a JSON object");
  return json;
}

/// Test metrics of ranking items by their number of training interactions.
dream::MetricTable popularity(const dream::Dataset& data, const Settings& settings) {
  dream::Context<dream::Cpu> context;
  dream::Matrix<float, dream::Cpu> users(data.user_count(), 1), items(data.item_count(), 1);
  users.fill(1.0F);
  items.fill(0.0F);
  for (const dream::index_t item : data.train.item) items.data()[item] += 1.0F;
  const auto train = dream::interaction_matrix<float>(context, data.train, data.user_count(), data.item_count());
  const auto masked =
      seen_items(context, data, settings.fit.mask_valid_in_test ? dream::Split::valid : dream::Split::train);
  const auto test = dream::interaction_matrix<float>(context, data.test, data.user_count(), data.item_count());
  dream::EvaluationOptions options;
  options.top_k = settings.fit.top_k;
  options.warm_and_cold = false;
  return dream::evaluate<float>(context, users.view(), items.view(), train.view(), masked.view(), test.view(), options)
      .all;
}

}  // namespace

int compare(const CompareArguments& arguments) {
  std::vector<std::string> metrics;
  std::vector<Row> rows{{"test"}};
  Settings settings;
  std::uint64_t trained_on = 0;
  for (const std::string& folder : arguments.runs) {
    const ordered_json result = read_json(folder + "/result.json");
    DREAM_EXPECT(result.contains("test") && result["test"].is_object() && result.contains("model") &&
                     result["model"].is_string(),
                 folder, "/result.json: has no model and test metrics");
    const std::uint64_t fingerprint = dream::checkpoint_origin(folder + "/best.safetensors").data;
    DREAM_EXPECT(rows.size() == 1 || fingerprint == trained_on, folder, ": was trained on other data than ",
                 arguments.runs.front(), " (their fingerprints differ)");
    if (rows.size() == 1) {
      trained_on = fingerprint;
      for (const auto& [name, value] : result["test"].items()) metrics.push_back(name);
      const std::string config = folder + "/config.json";
      settings = settings_from_json(read_json(config), config);
    }
    const std::string name = std::filesystem::path(folder + "/").lexically_normal().parent_path().filename().string();
    const std::string model = result["model"].get<std::string>();
    Row row{name == model ? name : dream::concat(name, " (", model, ")")};
    for (const std::string& metric : metrics) {
      const auto value = result["test"].find(metric);
      row.push_back(value != result["test"].end() && value->is_number() ? metric_text(value->get<double>()) : "-");
    }
    rows.push_back(row);
  }
  rows[0].insert(rows[0].end(), metrics.begin(), metrics.end());
  if (!arguments.data.empty()) {
    const dream::Dataset data = dream::read_dataset(arguments.data, settings.read);
    DREAM_EXPECT(dream::fingerprint(data) == trained_on, arguments.runs.front(), ": was trained on other data than ",
                 arguments.data, " (their fingerprints differ)");
    const dream::MetricTable popular = popularity(data, settings);
    Row row{"popularity"};
    for (const std::string& name : metrics) row.push_back(metric_text(popular.at(name)));
    rows.insert(rows.begin() + 1, row);
  }
  // A run is a column: there may be a dozen metrics, and few runs.
  std::vector<Row> lines(rows[0].size());
  for (const Row& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) lines[c].push_back(row[c]);
  std::printf("%s", table_text(lines).c_str());
  return Exit::success;
}

}  // namespace dream_cli
