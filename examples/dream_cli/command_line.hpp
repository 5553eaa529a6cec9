// The commands of the program as the command line has them: what each takes, and its help.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"

namespace dream_cli {

/// What a parsed command line runs.
using Chosen = std::function<int()>;

// Each adds one command; where that is given, `chosen` runs it.

void add_train(CLI::App& app, Chosen& chosen);
void add_tune(CLI::App& app, Chosen& chosen);
void add_study(CLI::App& app, Chosen& chosen);
void add_report(CLI::App& app, Chosen& chosen);
void add_compare(CLI::App& app, Chosen& chosen);
void add_diagnose(CLI::App& app, Chosen& chosen);
void add_evaluate(CLI::App& app, Chosen& chosen);
void add_recommend(CLI::App& app, Chosen& chosen);
void add_similar(CLI::App& app, Chosen& chosen);
void add_export(CLI::App& app, Chosen& chosen);
void add_verify(CLI::App& app, Chosen& chosen);
void add_inspect(CLI::App& app, Chosen& chosen);
void add_synth(CLI::App& app, Chosen& chosen);

// Options that several commands have.

/// A command with its help: what it does, and command lines to start from.
CLI::App* command(CLI::App& app, const std::string& name, const std::string& what, const std::string& examples);
CLI::Option* add_data(CLI::App* sub, std::string& data);
void add_checkpoint(CLI::App* sub, std::string& checkpoint);
void add_backend(CLI::App* sub, std::string& backend);
void add_backend(CLI::App* sub, std::optional<std::string>& backend);
void add_model(CLI::App* sub, std::optional<std::string>& model, std::optional<std::string>& bma);
void add_threads(CLI::App* sub, int& threads);
void add_config(CLI::App* sub, std::string& config, const std::string& help);
void add_set(CLI::App* sub, std::vector<std::string>& assignments, const std::string& help);
/// A flag that prints a text and ends the program, whatever else is given or missing.
void add_listing(CLI::App* sub, const std::string& flag, const std::string& help,
                 const std::function<std::string()>& text);
CLI::Validator positive();

}  // namespace dream_cli
