#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include <dream/core/file.hpp>
#include <dream/eval/beyond_accuracy.hpp>
#include <dream/eval/ranking.hpp>

#include "backends.hpp"
#include "commands.hpp"
#include "outputs.hpp"
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

/// Values NAME@K as a table: a row a name, a column a k.
std::string by_cutoff_text(const std::vector<std::pair<std::string, double>>& values) {
  std::vector<Row> rows{{"lists"}};
  for (const auto& [name, value] : values) {
    const std::size_t at = name.find('@');
    const std::string k = name.substr(at), what = name.substr(0, at);
    if (std::find(rows[0].begin(), rows[0].end(), k) == rows[0].end()) rows[0].push_back(k);
    auto row = std::find_if(rows.begin() + 1, rows.end(), [&](const Row& other) { return other[0] == what; });
    if (row == rows.end()) row = rows.insert(row, Row{what});
    row->push_back(metric_text(value));
  }
  return table_text(rows);
}

/// Writes every evaluated user's metrics: a line a user under a header.
void write_by_user(const std::string& path, const dream::Evaluation& result, const HostCsr& held_out,
                   const std::vector<int>& cutoffs, const dream::IdMap& users) {
  dream::AtomicFile file(path);
  std::string line = "user\theld_out";
  for (const auto& [name, value] : result.all.values) line += "\t" + name;
  file.write(line + "\n");
  for (dream::index_t r = 0; r < result.lists.rows(); ++r) {
    const dream::index_t user = result.users[static_cast<std::size_t>(r)];
    const std::int64_t begin = held_out.offsets[user], count = held_out.offsets[user + 1] - begin;
    const std::span<const dream::index_t> items(held_out.indices.data() + begin, static_cast<std::size_t>(count));
    const std::span<const dream::index_t> list(result.lists.view().row(r),
                                               static_cast<std::size_t>(result.lists.cols()));
    line = dream::concat(users.name(user), '\t', count);
    for (const int k : cutoffs)
      for (const double value : dream::ranking_metrics(list, items, k).values) {
        char text[32];
        line += "\t" + std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
      }
    file.write(line + "\n");
  }
  file.commit();
}

}  // namespace

int evaluate(const EvaluateArguments& arguments) {
  if (!arguments.by_user.empty())
    expect_out_file(arguments.by_user, {arguments.data, {{"--checkpoint", arguments.checkpoint}}}, "--by-user");
  dream::Context<dream::Cpu> context(arguments.threads);
  const StoredRun run = read_stored_run(arguments.checkpoint);
  const dream::Dataset data = read_data_of(run, arguments.data);
  const dream::Split split = arguments.split == "test" ? dream::Split::test : dream::Split::valid;
  DREAM_EXPECT(data.pairs(split).size() > 0, arguments.data, ": has no ", arguments.split, " interactions");
  StoredRanking ranking = ranking_of(context, run, data, split);
  ranking.options.keep_lists = true;
  const EvaluationRun evaluation{context, run, ranking.train, ranking.masked, ranking.held_out, ranking.options};
  const KernelCommands* kernels = kernel_commands(usable_backend(arguments.backend));
  const dream::Evaluation result =
      kernels != nullptr ? kernels->evaluate(context.threads(), evaluation) : ranking.evaluate(context, run);
  const auto beyond = dream::beyond_accuracy(context, result.lists.view(), ranking.options.top_k, data);
  if (!arguments.by_user.empty())
    write_by_user(arguments.by_user, result, ranking.held_out, ranking.options.top_k, data.users);

  if (arguments.json) {
    nlohmann::ordered_json json;
    json["model"] = run.origin.model;
    json["epoch"] = run.epoch;
    json["split"] = arguments.split;
    json["all"] = metrics_json(result.all);
    json["warm"] = metrics_json(result.warm);
    json["cold"] = metrics_json(result.cold);
    json["cold_among_cold"] = metrics_json(result.cold_among_cold);
    json["lists"] = nlohmann::ordered_json::object();
    for (const auto& [name, value] : beyond) json["lists"][name] = value;
    json["users_without_training"] = result.users_without_training;
    json["users_without_held_out"] = result.users_without_held_out;
    json["cold_items"] = result.cold_items;
    std::printf("%s\n", json.dump(2).c_str());
    return Exit::success;
  }
  std::printf("%s, epoch %d, %s split\n\n", dream::excerpt(run.origin.model).c_str(), run.epoch,
              arguments.split.c_str());
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
      "%s\n%s\n%d cold items (without training interactions). Left out: %lld users without training interactions.\n",
      table_text(rows).c_str(), by_cutoff_text(beyond).c_str(), result.cold_items,
      static_cast<long long>(result.users_without_training));
  return Exit::success;
}

}  // namespace dream_cli
