#include <dream/eval/ranking.hpp>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "backends.hpp"
#include "commands.hpp"
#include "stored_run.hpp"
#include "table.hpp"

namespace dream_cli {

namespace {

nlohmann::ordered_json metrics_json(const dream::MetricTable& table) {
  nlohmann::ordered_json json;
  if (table.users > 0)
    for (const auto& [name, value] : table.values) json[name] = value;
  json["users"] = table.users;
  return json;
}

}  // namespace

int evaluate(const EvaluateArguments& arguments) {
  dream::Context<dream::Cpu> context(arguments.threads);
  const StoredRun run = read_stored_run(arguments.checkpoint);
  const dream::Dataset data = read_data_of(run, arguments.data);
  const dream::Split split = arguments.split == "test" ? dream::Split::test : dream::Split::valid;
  DREAM_EXPECT(data.pairs(split).size() > 0, arguments.data, ": has no ", arguments.split, " interactions");
  const StoredRanking ranking = ranking_of(context, run, data, split);
  const EvaluationRun evaluation{context, run, ranking.train, ranking.masked, ranking.held_out, ranking.options};
  const KernelCommands* kernels = kernel_commands(usable_backend(arguments.backend));
  const dream::Evaluation result =
      kernels != nullptr ? kernels->evaluate(context.threads(), evaluation) : ranking.evaluate(context, run);

  if (arguments.json) {
    nlohmann::ordered_json json;
    json["model"] = run.origin.model;
    json["epoch"] = run.epoch;
    json["split"] = arguments.split;
    json["all"] = metrics_json(result.all);
    json["warm"] = metrics_json(result.warm);
    json["cold"] = metrics_json(result.cold);
    json["cold_among_cold"] = metrics_json(result.cold_among_cold);
    json["users_without_training"] = result.users_without_training;
    json["users_without_held_out"] = result.users_without_held_out;
    json["cold_items"] = result.cold_items;
    std::printf("%s\n", json.dump(2).c_str());
    return Exit::success;
  }
  std::printf("%s, epoch %d, %s split\n\n", run.origin.model.c_str(), run.epoch, arguments.split.c_str());
  const dream::MetricTable* columns[] = {&result.all, &result.warm, &result.cold, &result.cold_among_cold};
  std::vector<Row> rows{{"", "all items", "warm items", "cold items", "cold among cold"}, {"users"}};
  for (const dream::MetricTable* column : columns) rows[1].push_back(std::to_string(column->users));
  for (const auto& [name, value] : result.all.values) {
    Row row{name};
    for (const dream::MetricTable* column : columns)
      row.push_back(column->users > 0 ? metric_text(column->at(name)) : "-");
    rows.push_back(row);
  }
  std::printf(
      "%s\n%d cold items (without training interactions). Left out: %lld users without training interactions.\n",
      table_text(rows).c_str(), result.cold_items, static_cast<long long>(result.users_without_training));
  return Exit::success;
}

}  // namespace dream_cli
