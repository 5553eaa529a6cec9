#include "command_line.hpp"

#include <cstdio>

#include "settings.hpp"

namespace dream_cli {

CLI::App* command(CLI::App& app, const std::string& name, const std::string& what, const std::string& examples) {
  CLI::App* sub = app.add_subcommand(name, what);
  sub->footer("\nExamples:\n" + examples);
  return sub;
}

CLI::Option* add_data(CLI::App* sub, std::string& data) {
  return sub
      ->add_option("--data", data, "data folder (NAME.inter, train.txt or train.csv, *_feat.npy) or interactions file")
      ->type_name("DIR");
}

void add_checkpoint(CLI::App* sub, std::string& checkpoint) {
  sub->add_option("--checkpoint", checkpoint, "best.safetensors or checkpoint.safetensors of a training run")
      ->required()
      ->type_name("FILE");
}

namespace {

template <class Name>
void add_backend_name(CLI::App* sub, Name& backend) {
  sub->add_option("--backend", backend,
                  "what computes: cpu (default), cuda (a GPU), auto (a GPU where there is one), or emulated (the CUDA "
                  "kernels on the host, for tests)")
      ->check(CLI::IsMember({"cpu", "cuda", "auto", "emulated"}))
      ->type_name("NAME");
}

}  // namespace

void add_backend(CLI::App* sub, std::string& backend) { add_backend_name(sub, backend); }
void add_backend(CLI::App* sub, std::optional<std::string>& backend) { add_backend_name(sub, backend); }

void add_model(CLI::App* sub, std::optional<std::string>& model, std::optional<std::string>& bma) {
  sub->add_option("--model", model, "dream (default), mf, lightgcn, vbpr, bm3, freedom or mgcn")
      ->check(CLI::IsMember(model_names()))
      ->type_name("NAME");
  sub->add_option("--bma", bma, "behaviour-modal alignment in the loss of any model with two domains")
      ->check(CLI::IsMember({"on", "off", "own"}))
      ->type_name("on|off");
}

void add_threads(CLI::App* sub, int& threads) {
  sub->add_option("--threads", threads, "threads to use; 0: all. Results do not depend on it")
      ->check(CLI::Range(0, 4096))
      ->type_name("N");
}

void add_config(CLI::App* sub, std::string& config, const std::string& help) {
  sub->add_option("--config", config, help)->type_name("FILE");
}

void add_set(CLI::App* sub, std::vector<std::string>& assignments, const std::string& help) {
  sub->add_option("--set", assignments, help)->type_name("KEY=VALUE")->expected(1)->take_all();
}

void add_listing(CLI::App* sub, const std::string& flag, const std::string& help,
                 const std::function<std::string()>& text) {
  sub->add_flag_callback(
      flag,
      [text] {
        std::fputs(text().c_str(), stdout);
        throw CLI::Success();
      },
      help);
}

CLI::Validator positive() { return CLI::Range(std::int64_t{1}, std::int64_t{2147483647}); }

}  // namespace dream_cli
